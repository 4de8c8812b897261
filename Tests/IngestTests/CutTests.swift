import Events
import Postgres
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Cuts` {
    private static func limits(events: Int, interval: Duration = .seconds(3_600)) -> BatchLimits {
        var limits = BatchLimits()
        limits.cutEventsMax = events
        limits.cutInterval = interval
        return limits
    }

    /// The jobs' ranges follow each other without gap or overlap.
    private static func expectTiles(_ installation: Installation) async throws {
        let breaks = try await installation.number(
            """
            SELECT count(*) FROM (SELECT lo, hi,
              coalesce(lag(hi) OVER (PARTITION BY stream ORDER BY lo), stream << 40)
              AS before FROM jobs) a WHERE lo <> before OR hi <= lo
            """
        )
        #expect(breaks == 0)
        try await installation.expectJobsCoverEvents()
    }

    @Test func `tile what a node has stored`() async throws {
        try await Installation.with { installation in
            for seed in 0..<4 as Range<UInt64> {
                var random = SplitMix(seed: seed)
                try await installation.withNode(writers: 2, limits: Self.limits(events: 30)) { node in
                    var sent = 0
                    for _ in 0..<25 {
                        let count = Int.random(in: 1...40, using: &random)
                        let texts =
                            Decoded.dated(sent..<sent + count, prefix: "c\(seed)")
                            + Decoded.undated([sent], prefix: "c\(seed)")
                            + Decoded.fresh([sent])
                        sent += count
                        try await node.expect(.stored, of: texts)
                    }
                    #expect(node.log.cuts > 5)
                }
                // Stopping has cut the last of it.
                try await Self.expectTiles(installation)
            }
        }
    }

    @Test func `tile what was stored across failures`() async throws {
        try await Installation.with { installation in
            try await installation.sql("ALTER TABLE events ADD CONSTRAINT no_poison CHECK (type <> 'poison')")
            try await installation.withNode(limits: Self.limits(events: 10)) { node in
                for round in 0..<12 {
                    let numbers = round * 8..<round * 8 + 8
                    switch round % 4 {
                    case 0:
                        _ = try await node.store(Decoded.dated(numbers) + [#"{"id":"p","type":"poison"}"#])
                    case 1:
                        let storing = try await installation.holdingStreams {
                            let storing = Task { try await node.store(Decoded.dated(numbers)) }
                            let pid = try await installation.waitingWriter()
                            try await installation.kill(pid)
                            _ = try await installation.waitingWriter(otherThan: pid)
                            return storing
                        }
                        #expect(try await storing.value.allSatisfy { $0 == .stored })
                    case 2:
                        // Stored by another node in the meantime: the flush goes through the dedup path.
                        try await installation.withNode(limits: Self.limits(events: 3)) { other in
                            _ = try await other.store(Decoded.dated(numbers.prefix(4)))
                        }
                        let verdicts = try await node.store(Decoded.dated(numbers))
                        #expect(
                            verdicts == Array(repeating: .duplicate, count: 4)
                                + Array(repeating: .stored, count: 4)
                        )
                    default: _ = try await node.store(Decoded.undated(numbers))
                    }
                }
            }
            try await Self.expectTiles(installation)
        }
    }

    @Test func `come by themselves when nothing follows`() async throws {
        try await Installation.with { installation in
            try await installation.withNode(limits: Self.limits(events: 1_000, interval: .milliseconds(250)))
            { node in
                _ = try await node.store(Decoded.dated(0..<3))
                await node.log.wait(cuts: 1)
                try await Self.expectTiles(installation)

                _ = try await node.store(Decoded.dated(3..<5))
                await node.log.wait(cuts: 2)
                try await Self.expectTiles(installation)
                #expect(try await installation.number("SELECT count(*) FROM jobs") == 2)
            }
        }
    }

    @Test func `come again when one failed`() async throws {
        try await Installation.with { installation in
            try await installation.withNode(limits: Self.limits(events: 1_000, interval: .milliseconds(50))) {
                node in
                try await installation.sql("ALTER TABLE jobs ADD CONSTRAINT closed CHECK (false) NOT VALID")
                let failures =
                    "(SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database())"
                let before = try await installation.number("SELECT \(failures)")
                _ = try await node.store(Decoded.dated(0..<3))
                try await installation.wait(until: "\(failures) > \(before)")
                #expect(node.log.cuts == 0)
                try await installation.sql("ALTER TABLE jobs DROP CONSTRAINT closed")

                await node.log.wait(cuts: 1)
                try await Self.expectTiles(installation)
            }
        }
    }

    /// The client was told to send again, but its events may be there all the same: their job must not wait
    /// for the next flush.
    @Test func `cover what was committed by a flush of which nobody knew the end`() async throws {
        try await Installation.with { installation in
            var limits = Self.limits(events: 1_000, interval: .milliseconds(250))
            limits.flushTimeout = .seconds(1)
            try await installation.withNode(limits: limits) { node in
                _ = try await installation.holdingStreams {
                    await #expect(throws: IngestError.self) { try await node.store(Decoded.dated(0..<3)) }
                }

                // The first try's backend goes on once the lock is free.
                try await installation.wait(until: "EXISTS (SELECT FROM jobs)")
                #expect(try await installation.number("SELECT count(*) FROM events") == 3)
                try await installation.expectJobsCoverEvents()
            }
        }
    }

    private static func trace(_ digit: Int) -> String {
        "00-\(String(repeating: "\(digit)", count: 32))-00f067aa0ba902b7-01"
    }

    /// By an INSERT, by a COPY beside a reject, and through the dedup path.
    @Test(arguments: [[], [#"{"id":"x"}"#], Decoded.undated(50..<51)])
    func `belong to the first trace among the requests that they cover`(others: [String]) async throws {
        try await Installation.with { installation in
            try await installation.withNode(limits: Self.limits(events: 6)) { node in
                _ = try await node.store(Decoded.dated(0..<1))
                _ = try await node.store(Decoded.dated(0..<1), trace: Self.trace(1))
                _ = try await node.store(Decoded.dated(1..<2) + others, trace: Self.trace(2))
                _ = try await node.store(Decoded.dated(2..<6), trace: Self.trace(3))
                _ = try await node.store(Decoded.dated(6..<12))
                await node.log.wait(cuts: 2)
                _ = try await node.store(Decoded.dated(12..<13), trace: Self.trace(4))
            }
            let traces = try await installation.sql("SELECT traceparent FROM jobs ORDER BY id")
            // What all was known already has stored nothing, and what no trace was given to has none.
            #expect(traces == [[Self.trace(2)], [nil], [Self.trace(4)]])
        }
    }

    @Test func `are made by the burial when the node could not`() async throws {
        try await Installation.with { installation in
            try await installation.withNode(limits: Self.limits(events: 1_000)) { node in
                let events = Decoded.dated(0..<3) + Decoded.undated(0..<3)
                _ = try await node.store(events, trace: Self.trace(5))
                try await installation.sql("SELECT bury_node($1)", [node.epoch])
                let traces = try await installation.sql("SELECT traceparent FROM jobs")
                #expect(traces == [[Self.trace(5)]])
                try await Self.expectTiles(installation)
            }
        }
    }
}
