import Events
import Postgres
import Reactor
import Spool
import TestSupport
import Testing

@testable import Ingest

/// A record of the spool that PostgreSQL refuses although no event of it is at fault: its reject is.
@Suite(.timeLimit(.minutes(3))) struct `Record that PostgreSQL refuses` {
    private static func append(_ prefix: String, _ texts: [String] = [], to spool: Spool) async throws {
        let submission = Decoded.submission(Decoded.dated(0..<3, prefix: prefix) + texts)
        try await SpoolLane(spool: spool).append([submission])
    }

    @Test func `lets those behind it past, and is stored once it is taken`() async throws {
        try await Installation.with { installation in
            try await TestSpools.with { spool in
                for (prefix, texts) in [("a", []), ("b", ["{}"]), ("c", []), ("d", [])] {
                    try await Self.append(prefix, texts, to: spool)
                }
                let rule = "CONSTRAINT narrow"
                try await installation.sql("ALTER TABLE rejects ADD \(rule) CHECK (code = '')")
                try await installation.withNode(writers: 2, spool: spool) { node in
                    try await installation.wait(until: "(SELECT count(*) FROM events) = 9")
                    try await until("it is withheld", on: installation) {
                        spool.facts.withheldEvents == 4 && spool.facts.events == 4
                    }
                    let receipt = await node.ingestor.spooledReceipt(id: "b-1", source: "/test")
                    guard case .event = receipt else {
                        Issue.record("\(receipt)")
                        return
                    }
                    #expect(await node.ingestor.spooledReceipt(id: "c-1", source: "/test") == .absent)
                    // New ones go past it too.
                    try await Self.append("e", to: spool)
                    try await installation.wait(until: "(SELECT count(*) FROM events) = 12")
                }
                #expect(try await installation.totals().stored == 12)
                try await installation.sql("ALTER TABLE rejects DROP \(rule)")
                try await installation.withNode(writers: 2, spool: spool) { _ in
                    try await until("it is stored", on: installation) { spool.facts.events == 0 }
                }
                let totals = try await installation.totals()
                #expect(totals.stored == 15 && totals.duplicates == 0 && totals.rejected == 1)
                #expect(try await installation.number("SELECT count(*) FROM events") == 15)
                #expect(try await installation.number("SELECT count(*) FROM rejects") == 1)
            }
        }
    }

    /// The process died after it had withheld the record and before it went on behind it; and, later, after
    /// the record was stored and before it was forgotten.
    @Test func `is counted once, whenever the process dies`() async throws {
        try await Installation.with { installation in
            try await TestSpools.with { spool in
                for prefix in ["a", "b"] { try await Self.append(prefix, ["{}"], to: spool) }
                let batch = try #require(await spool.next(bytesMax: 1 << 20, eventsMax: 1_000))
                try await spool.withhold(batch.records[0])
                for _ in 0..<2 {
                    #expect(spool.facts.withheldEvents == 4)
                    try await installation.withNode(writers: 2, spool: spool) { _ in
                        try await until("all is stored", on: installation) { spool.facts.events == 0 }
                    }
                    let totals = try await installation.totals()
                    #expect(totals.stored == 6 && totals.duplicates == 0 && totals.rejected == 2)
                    try await spool.withhold(batch.records[0])
                }
            }
        }
    }

    private func until(
        _ fact: String,
        on installation: Installation,
        _ check: () async throws -> Bool
    ) async throws {
        let deadline = TestCluster.deadline
        while try await !check() {
            try #require(Deadline.now() < deadline, "it never came to this: \(fact)")
            // A query, so as not to keep the loop from the drain.
            try await installation.sql("SELECT")
        }
    }
}
