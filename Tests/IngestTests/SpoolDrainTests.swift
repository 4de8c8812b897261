import Events
import HTTP
import Postgres
import Reactor
import Spool
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Ingestor with a spool` {
    /// The flush hangs before its commit when its connection breaks, and nobody can connect for a while.
    @Test func `stores and counts once what was under way when the database went`() async throws {
        try await Installation.with { installation in
            try await TestSpools.with { spool in
                try await installation.withNode(writers: 2, spool: spool) { node in
                    try await node.expect(.stored, of: Decoded.dated([0]))
                    let texts = Decoded.dated(0..<5) + Decoded.undated(0..<3) + Decoded.fresh([1]) + ["{}"]
                    let name = installation.database.name
                    let other = try await installation.database.cluster.connect(to: "postgres")
                    let storing = try await installation.holdingStreams {
                        let storing = Task { try await node.store(texts) }
                        let pid = try await installation.waitingWriter()
                        _ = try await other.query(
                            "ALTER DATABASE \(name) ALLOW_CONNECTIONS false",
                            deadline: TestCluster.deadline
                        )
                        try await installation.kill(pid)
                        return storing
                    }
                    #expect(try await storing.value == Array(repeating: .spooled, count: 9))
                    #expect(await spool.pendingMarks.count == 1)
                    // Nothing but the spool takes it now.
                    try await node.expect(.spooled, of: Decoded.dated(0..<2) + Decoded.undated(0..<1))

                    _ = try await other.query(
                        "ALTER DATABASE \(name) ALLOW_CONNECTIONS true",
                        deadline: TestCluster.deadline
                    )
                    await other.close()
                    try await installation.wait(until: "(SELECT sum(received) FROM streams) = 14")
                    let totals = try await installation.totals()
                    #expect(totals.stored == 9 && totals.duplicates == 4 && totals.rejected == 1)
                    #expect(try await installation.number("SELECT count(*) FROM events") == 9)
                    #expect(try await installation.number("SELECT count(*) FROM rejects") == 1)
                }
            }
            // The end of a node cuts what its writers could not.
            try await installation.sql("SELECT bury_node(epoch) FROM nodes")
            try await installation.expectJobsCoverEvents()
        }
    }

    /// As above, but that the flush was committed: its records are there, and count nothing.
    @Test func `counts nothing twice when the flush had been committed`() async throws {
        try await Installation.with { installation in
            try await TestSpools.with { spool in
                let texts = Decoded.dated(0..<5) + Decoded.undated(0..<3) + ["{}"]
                let submission = Decoded.submission(texts)
                try await installation.withNode(writers: 1) { node in
                    try await node.expect(.stored, of: Array(texts.dropLast()))
                    let stream = UInt64(try await installation.number("SELECT max(stream) FROM streams"))
                    // What a writer appends whose connection broke while its first flush was committed.
                    try await SpoolLane(spool: spool).append([submission], mark: stream << 40 | 1)
                    try await installation.withNode(writers: 2, spool: spool) { _ in
                        try await installation.wait(
                            until: "EXISTS (SELECT FROM spools WHERE drained > 4294967296)"
                        )
                    }
                    let totals = try await installation.totals()
                    #expect(totals.stored == 8 && totals.duplicates == 0 && totals.rejected == 0)
                    #expect(try await installation.number("SELECT count(*) FROM events") == 8)
                }
            }
        }
    }

    @Test func `uses up the number of a flush that it has not found, so that it never comes`() async throws {
        try await Installation.with { installation in
            try await installation.withNode { node in
                try await node.expect(.stored, of: Decoded.dated([0]))
                let stream = try await installation.number("SELECT max(stream) FROM streams")
                #expect(try await installation.sql("SELECT find_flush(\(stream), 1)") == [["t"]])
                #expect(try await installation.sql("SELECT find_flush(\(stream), 2)") == [["f"]])
                #expect(try await installation.sql("SELECT find_flush(\(stream), 2)") == [["f"]], "it stays")
                let error = await #expect(throws: PostgresError.self) {
                    try await installation.sql(
                        """
                        SELECT end_flush(\(stream), 2, \(stream << 40) + 9, 1, 1, 0, 0, 1, now(), now(),
                          false, false)
                        """
                    )
                }
                #expect(error?.sqlState == "MR002")
            }
        }
    }

    @Test func `asks after a flush whose stream has been buried`() async throws {
        try await Installation.with { installation in
            var stream = 0
            try await installation.withNode { node in
                try await node.expect(.stored, of: Decoded.dated([0]))
                stream = try await installation.number("SELECT max(stream) FROM streams")
            }
            try await installation.sql("SELECT bury_node(epoch) FROM nodes")
            #expect(try await installation.number("SELECT count(*) FROM streams") == 0)
            #expect(try await installation.sql("SELECT find_flush(\(stream), 1)") == [["t"]])
            #expect(try await installation.sql("SELECT find_flush(\(stream), 2)") == [["f"]])
        }
    }

    @Test func `moves a spool's position from where it is, and once for each flush`() async throws {
        try await Installation.with { installation in
            try await installation.withNode { node in
                try await node.expect(.stored, of: Decoded.dated([0]))
                let stream = try await installation.number("SELECT max(stream) FROM streams")
                let spool = "00000000-0000-4000-8000-000000000001"
                func advance(_ from: Int, _ to: Int, flush: Int) async throws -> [[String?]] {
                    try await installation.sql(
                        "SELECT advance_spool('\(spool)', \(from), \(to), \(stream), \(flush))"
                    )
                }
                #expect(try await installation.sql("SELECT open_spool('\(spool)', 5)") == [["5"]])
                #expect(try await advance(5, 9, flush: 2) == [["t"]])
                #expect(try await installation.sql("SELECT open_spool('\(spool)', 7)") == [["9"]])
                // Flush 1 is committed; as the same flush sent again it would change nothing.
                #expect(try await advance(5, 9, flush: 1) == [["f"]])
                let error = await #expect(throws: PostgresError.self) { try await advance(5, 9, flush: 2) }
                #expect(error?.sqlState == "MR005")
                #expect(try await installation.sql("SELECT open_spool('\(spool)', 0)") == [["9"]])
            }
        }
    }

    @Test func `stores an atomic request out of the spool as a whole, or not at all`() async throws {
        try await Installation.with { installation in
            try await installation.sql("ALTER TABLE events ADD CHECK (type <> 'poison')")
            try await TestSpools.with { spool in
                let lane = SpoolLane(spool: spool)
                for (prefix, type) in [("good", "t"), ("bad", "poison")] {
                    var submission = Decoded.submission(
                        Decoded.dated(0..<3, prefix: prefix)
                            + [#"{"id":"\#(prefix)","type":"\#(type)","time":"2026-01-01T00:00:00Z"}"#]
                    )
                    submission.isAtomic = true
                    try await lane.append([
                        Decoded.submission(Decoded.dated([9], prefix: prefix)), submission,
                    ])
                }
                try await installation.withNode(writers: 2, spool: spool) { _ in
                    try await installation.wait(until: "(SELECT sum(received) FROM streams) = 10")
                }
                let totals = try await installation.totals()
                #expect(totals.stored == 6 && totals.rejected == 4)
                #expect(
                    try await installation.number("SELECT count(*) FROM events WHERE id LIKE 'bad%'") == 1
                )
            }
        }
    }

    @Test func `refuses what finds neither the database nor room in the spool`() async throws {
        try await Installation.with { installation in
            var limits = SpoolLimits()
            limits.segmentBytes = 64 << 10
            limits.bytesMax = limits.segmentBytes
            limits.roomBytesMin = 4_096
            try await TestSpools.with(limits) { spool in
                try await installation.withNode(writers: 2, spool: spool) { node in
                    var taken = 0
                    try await installation.whileAway {
                        let error = await #expect(throws: IngestError.self) {
                            while taken < 10_000 {
                                try await node.expect(.spooled, of: Decoded.dated(taken..<taken + 10))
                                taken += 10
                            }
                        }
                        #expect(error == .spoolFull)
                        #expect(node.ingestor.isSpoolFull)
                    }
                    try await installation.wait(until: "(SELECT count(*) FROM events) = \(taken)")
                    #expect(taken > 100)
                }
            }
        }
    }

    /// A standby, or one that an operator has made read-only: it connects, and takes nothing.
    @Test func `keeps events while the database only lets itself be read`() async throws {
        try await Installation.with { installation in
            try await TestSpools.with { spool in
                try await installation.withNode(writers: 2, spool: spool) { node in
                    try await node.expect(.stored, of: Decoded.dated([0]))
                    let name = installation.database.name
                    let setting = "ALTER DATABASE \(name) SET default_transaction_read_only"
                    try await installation.sql("\(setting) = on")
                    try await installation.whileAway {}
                    try await node.expect(.spooled, of: Decoded.dated(0..<5) + Decoded.undated(0..<2))
                    #expect(spool.facts.events == 7)
                    try await installation.sql("\(setting) = off")
                    try await installation.wait(until: "(SELECT sum(received) FROM streams) = 8")
                    let totals = try await installation.totals()
                    #expect(totals.stored == 7 && totals.duplicates == 1)
                }
            }
        }
    }

    @Test func `replays nothing while the database is away: rejects are there, and only there`() async throws
    {
        try await Installation.with { installation in
            try await TestSpools.with { spool in
                try await installation.withNode(writers: 2, spool: spool) { node in
                    try await installation.whileAway {
                        // Once as the flush that finds it out, once with the breaker open.
                        for n in Int64(1)...2 {
                            let reject = ReplayedReject(n: n, receivedAt: WallClock.microseconds())
                            let error = await #expect(throws: IngestError.self) {
                                _ = try await node.ingestor.replay(
                                    Decoded.events(Decoded.dated([Int(n)])),
                                    of: [reject],
                                    by: "test",
                                    requestID: RequestID("request")
                                )
                            }
                            guard case .unavailable = error else {
                                Issue.record("\(String(describing: error))")
                                return
                            }
                        }
                        #expect(spool.facts.events == 0)
                    }
                }
            }
        }
    }
}
