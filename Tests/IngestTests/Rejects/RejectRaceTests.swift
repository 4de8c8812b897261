import Events
import HTTP
import Postgres
import Reactor
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Reject replay in a race` {
    /// Events without ids, which no key of theirs would make one of two.
    private static let events = Decoded.dated(0..<20) + Decoded.undated(0..<20) + Decoded.fresh(0..<20)

    @Test func `stores each event once when two nodes replay the same rejects`() async throws {
        try await RejectDesk.with { desk in
            try await desk.refuse(Self.events)
            try await desk.installation.withNode { other in
                try await desk.installation.withDesk(of: other) { rival in
                    // Both have written their events when the streams are let go.
                    let (first, second) = try await desk.installation.holdingStreams {
                        let first = Task { try await desk.replay() }
                        let pid = try await desk.installation.waitingWriter()
                        let second = Task { try await rival.replay() }
                        _ = try await desk.installation.waitingWriter(otherThan: pid)
                        return (first, second)
                    }
                    let outcomes = [try await first.value.counts, try await second.value.counts].sorted {
                        $0[1] < $1[1]
                    }
                    #expect(outcomes == [[60, 0, 0, 0, 60], [60, 60, 0, 0, 0]])
                }
            }
            try await Self.expectAllStored(desk)
        }
    }

    @Test func `stores each event once when one node is asked many times at once`() async throws {
        var limits = ReplayLimits()
        limits.pageCountMax = 7
        try await RejectDesk.with(limits: limits) { desk in
            try await desk.refuse(Self.events + ["{}"])
            let outcomes = try await withThrowingTaskGroup(of: [Int].self) { group in
                for _ in 0..<6 { group.addTask { try await desk.replay().counts } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(outcomes.reduce(0) { $0 + $1[1] } == 60)
            #expect(outcomes.reduce(0) { $0 + $1[2] } == 0)
            #expect(try await desk.numbers().count == 1)
            try await desk.installation.sql("DELETE FROM rejects")
            try await Self.expectAllStored(desk, rejected: 1)
        }
    }

    @Test func `stores nothing of what is deleted meanwhile, and all of the rest`() async throws {
        try await RejectDesk.with { desk in
            let installation = desk.installation
            try await desk.refuse(Decoded.dated(0..<6) + Decoded.fresh(0..<4))
            let numbers = try await desk.numbers()
            let deleter = try await installation.database.connect(name: "deleter")
            _ = try await deleter.simple(
                "BEGIN; DELETE FROM rejects WHERE n IN (\(numbers[2]), \(numbers[8]))",
                deadline: TestCluster.deadline
            )
            let replaying = Task { try await desk.replay() }
            _ = try await installation.waitingWriter()
            _ = try await deleter.simple("COMMIT", deadline: TestCluster.deadline)
            await deleter.close()

            #expect(try await replaying.value.counts == [10, 8, 0, 0, 2])
            #expect(try await installation.number("SELECT count(*) FROM events") == 8)
            #expect(try await installation.number("SELECT count(*) FROM events WHERE id = 'e-2'") == 0)
            #expect(try await desk.numbers().isEmpty)
            let totals = try await installation.totals()
            #expect(totals.stored == 8 && totals.rejected == 2)
        }
    }

    @Test func `stores once what was under way when the connection was lost`() async throws {
        try await RejectDesk.with { desk in
            try await desk.refuse(Self.events)
            let replaying = try await desk.installation.holdingStreams {
                let replaying = Task { try await desk.replay() }
                let pid = try await desk.installation.waitingWriter()
                try await desk.installation.kill(pid)
                _ = try await desk.installation.waitingWriter(otherThan: pid)
                return replaying
            }
            #expect(try await replaying.value.counts == [60, 60, 0, 0, 0])
            try await Self.expectAllStored(desk)
        }
    }

    /// What a writer does that has lost the answer to its commit: the same statement, again.
    @Test func `knows its own transaction again when that had been committed`() async throws {
        try await RejectDesk.with { desk in
            try await desk.refuse(Self.events)
            let entries = try await desk.routes.store.next(
                RejectDesk.all,
                after: 0,
                countMax: 100,
                bytesMax: 1 << 20
            )
            let arena = Decoded.events(Self.events)
            var submission = Submission(
                arena: arena,
                events: entries.enumerated().map {
                    PreparedEvent($0, of: arena, receivedAt: $1.reject.receivedAt)
                },
                rejections: [],
                requestID: RequestID("r"),
                receivedAt: 0,
                bytes: 0
            )
            submission.route = .replay
            submission.replay = Replay(rejects: entries.map(\.reject), actor: "a")
            let plan = FlushPlan([submission], recent: RecentKeys(capacity: 1))
            let stream = desk.node.configuration.streams[0]
            let encoder = FlushEncoder(plan: plan, rows: plan.rows, firstSeq: stream << 40 | 1 << 30)
            let counts = FlushCounts(
                stream: stream,
                flush: 1 << 40,
                hi: stream << 40 | 1 << 30 | 100,
                offered: 60,
                duplicates: 0,
                rejected: -60,
                bytes: 0,
                cuts: true,
                trace: nil,
                accounts: plan.accounts(countsRest: true)
            )
            guard case .query(let sql, let copies) = FlushStatement.deduplicating(encoder, counts) else {
                Issue.record("a replay goes through the dedup path")
                return
            }
            let writer = try await desk.installation.database.connect(name: "writer")
            _ = try await writer.simple(FlushStatement.sessionSetup, deadline: TestCluster.deadline)
            for attempt in 1...2 {
                let results = try await writer.simple(sql, copies: copies, deadline: TestCluster.deadline)
                #expect(results.last?.rows.count == 60, "attempt \(attempt): its own rows")
            }
            await writer.close()
            try await Self.expectAllStored(desk)
            #expect(try await desk.installation.number("SELECT count(*) FROM audit") == 1)
        }
    }

    @Test func `shares its transaction with nothing that comes in meanwhile`() async throws {
        try await RejectDesk.with { desk in
            try await desk.installation.sql(
                "ALTER TABLE events ADD CONSTRAINT no_poison CHECK (type <> 'poison')"
            )
            let poison = #"{"id":"bad","type":"poison","source":"/test","time":"2026-01-02T03:04:05Z"}"#
            try await desk.refuse([poison] + Decoded.dated(1_000..<1_010))
            // Behind a flush that hangs, all of these wait in one queue.
            let (busy, replaying, storing) = try await desk.installation.holdingStreams {
                let busy = Task { try await desk.node.store(Decoded.dated([2_000])) }
                _ = try await desk.installation.waitingWriter()
                let storing = (0..<3).map { round in
                    Task { try await desk.node.store(Decoded.dated(round * 10..<round * 10 + 10)) }
                }
                let weight = Decoded.submission(Decoded.dated(0..<10)).weight
                try await desk.waitForQueue(moreThan: 2 * weight + weight / 2)
                let before = desk.node.ingestor.pendingBytes
                let replaying = Task { try await desk.replay() }
                try await desk.waitForQueue(moreThan: before)
                return (busy, replaying, storing)
            }
            _ = try await busy.value
            for task in storing {
                #expect(try await task.value == Array(repeating: .stored, count: 10))
            }
            #expect(try await replaying.value.counts == [11, 10, 0, 1, 0])
            let totals = try await desk.installation.totals()
            #expect(totals.stored == 41 && totals.rejected == 1)
        }
    }

    private static func expectAllStored(_ desk: RejectDesk, rejected: Int = 0) async throws {
        #expect(try await desk.installation.number("SELECT count(*) FROM events") == 60)
        #expect(try await desk.numbers().isEmpty)
        let totals = try await desk.installation.totals()
        #expect(totals.stored == 60 && totals.rejected == rejected && totals.duplicates == 0)
    }
}
