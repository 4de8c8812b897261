import Events
import Postgres
import Reactor
import Spool
import TestSupport
import Testing

@testable import Ingest

/// PostgreSQL refuses one event of many and is gone before the others are settled.
@Suite(.timeLimit(.minutes(3))) struct `Refused row in an outage` {
    /// The first row of its batch, so that some of the batch has been tried when the last row is waited for.
    private static let poison = #"{"id":"bad","type":"poison","source":"/t","time":"2026-01-01T00:00:00Z"}"#
    private static let texts = [poison] + Decoded.dated(0..<10) + ["{}"]

    @Test func `counts a batch once that went to the spool in the middle of the search`() async throws {
        try await Installation.with { installation in
            try await Self.forbidPoison(installation)
            try await TestSpools.with { spool in
                try await installation.withNode(writers: 2, spool: spool) { node in
                    try await node.expect(.stored, of: Decoded.fresh([0]))
                    try await Self.holdingLastRow(installation) {
                        let storing = Task { try await node.store(Self.texts) }
                        let pid = try await installation.waitingWriter()
                        try await installation.withoutConnections {
                            try await installation.kill(pid)
                            #expect(try await storing.value == Array(repeating: .spooled, count: 11))
                        }
                    }
                    try await installation.wait(until: "(SELECT sum(received) FROM streams) >= 13")
                    try await Self.expectOnce(installation, others: 1)
                }
            }
        }
    }

    @Test func `counts records once whose draining was cut off in the middle of the search`() async throws {
        try await Installation.with { installation in
            try await Self.forbidPoison(installation)
            try await TestSpools.with { spool in
                try await SpoolLane(spool: spool).append([Decoded.submission(Self.texts)])
                try await Self.holdingLastRow(installation) {
                    try await installation.withNode(writers: 2, spool: spool) { _ in
                        _ = try await installation.waitingWriter(named: "drain")
                    }
                    // It has given up; its backend, which waits on, would commit.
                    try await installation.kill(try await installation.waitingWriter(named: "drain"))
                }
                try await installation.withNode(writers: 2, spool: spool) { _ in
                    try await installation.wait(
                        until: "EXISTS (SELECT FROM spools WHERE drained > 4294967296)"
                    )
                }
                try await Self.expectOnce(installation, others: 0)
            }
        }
    }

    private static func expectOnce(_ installation: Installation, others: Int) async throws {
        let totals = try await installation.totals()
        #expect(totals.stored == 10 + others && totals.rejected == 2 && totals.duplicates == 0)
        #expect(try await installation.number("SELECT count(*) FROM events") == 10 + others)
        let codes = try await installation.sql("SELECT code FROM rejects ORDER BY 1")
        #expect(codes == [["missing_type"], ["refused_by_database"]])
    }

    private static func forbidPoison(_ installation: Installation) async throws {
        try await installation.sql("ALTER TABLE events ADD CONSTRAINT no_poison CHECK (type <> 'poison')")
    }

    /// Runs `body` while another session is about to store the last event: whoever stores it too has to wait.
    private static func holdingLastRow<Value>(
        _ installation: Installation,
        _ body: () async throws -> Value
    ) async throws -> Value {
        let event = Decoded.submission(texts).events[10]
        let key = String(decoding: formatUUID(event.key), as: UTF8.self)
        let time = String(decoding: Timestamp.format(event.ts), as: UTF8.self)
        let holder = try await installation.database.connect(name: "holder")
        _ = try await holder.simple(
            """
            BEGIN; INSERT INTO events (key, ts, received_at, type, source, seq, bucket)
              VALUES ('\(key)', '\(time)', now(), 't', '/', 1, \(EventKey.bucket(of: event.key)))
            """,
            deadline: TestCluster.deadline
        )
        do {
            let value = try await body()
            await holder.close()
            return value
        } catch {
            await holder.close()
            throw error
        }
    }
}
