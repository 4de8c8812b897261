import Analytics
import Postgres
import Reactor
import TestSupport
import Testing

@testable import Jobs

@Suite(.timeLimit(.minutes(3))) struct `The applier` {
    /// Jobs of random events, claimed.
    private func claimed(
        _ count: Int,
        of size: Int,
        in installation: Installation,
        _ random: inout SplitMix
    ) async throws -> [(job: LeasedJob, events: [TestEvent])] {
        let node = try await installation.makeNode()
        let queue = try await installation.queue()
        for _ in 0..<count { try await installation.makeJob(of: node, count: Int64(size)) }
        let jobs = try await queue.claim(count, epoch: node.epoch)
        var pairs: [(LeasedJob, [TestEvent])] = []
        for var job in jobs {
            let events = TestEvent.random(size, &random)
            job.timeMin = try #require(events.map(\.time).min())
            job.timeMax = try #require(events.map(\.time).max())
            pairs.append((job, events))
        }
        return pairs
    }

    /// Two appliers with keys in common and chunks that cut through them; every result handed in three times.
    ///
    /// With `RollupMerge(results)` in place of the acked ones the sums are too high in every run.
    @Test func `makes every result count once, as if all had been added up in one go`() async throws {
        try await Installation.with { installation in
            var limits = Installation.limits
            limits.apply.rollupsPerChunkMax = 5
            limits.apply.resultsMax = 7
            var random = SplitMix(seed: 11)
            let work = try await claimed(40, of: 60, in: installation, &random)
            let appliers = [installation.applier(limits), installation.applier(limits)]
            let verdicts = try await withThrowingTaskGroup(of: ApplyVerdict.self) { group in
                for (job, events) in work {
                    for copy in 0..<3 {
                        let applier = appliers[Int.random(in: 0...1, using: &random)]
                        _ = copy
                        group.addTask { await applier.apply(try JobResult(of: job, events)) }
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(verdicts.count { $0 == .applied } == 40)
            #expect(verdicts.count { $0 == .stale } == 80)
            let events = work.flatMap(\.events)
            #expect(try await installation.rollups() == TestEvent.rollups(events))
            let types = Dictionary(grouping: events, by: \.type).mapValues(\.count)
            #expect(try await installation.typeCounts() == types)
            #expect(try await installation.number("SELECT count(*) FROM jobs") == 0)
            #expect(
                try await installation.number("SELECT count(*) FROM job_outcomes WHERE status = 'ok'") == 40
            )
            for applier in appliers { await applier.stop(deadline: TestCluster.deadline) }
        }
    }

    /// Without the token in the applier's statement the old lease's result counts.
    @Test func `ignores the late result of a lease that is over`() async throws {
        try await Installation.with { installation in
            let node = try await installation.makeNode()
            let queue = try await installation.queue()
            try await installation.makeJob(of: node)
            let zombie = try await queue.claim(1, epoch: node.epoch)[0]
            _ = try await queue.fail([FailedLease(id: zombie.id, cause: .drained, message: "")])
            let current = try await queue.claim(1, epoch: node.epoch)[0]
            let event = TestEvent(time: current.timeMin, type: "t", source: "s", value: 1)
            let applier = installation.applier()
            #expect(await applier.apply(try JobResult(of: zombie, [event])) == .stale)
            #expect(try await installation.rollups().isEmpty)
            #expect(try await installation.typeCounts().isEmpty)
            #expect(await applier.apply(try JobResult(of: current, [event])) == .applied)
            #expect(await applier.apply(try JobResult(of: zombie, [event])) == .stale)
            #expect(try await installation.rollups() == TestEvent.rollups([event]))
            #expect(try await queue.wasApplied(current.id))
            #expect(try await !queue.wasApplied(zombie.id))
            await applier.stop(deadline: TestCluster.deadline)
        }
    }

    @Test func `does it again when its connection is killed in the middle`() async throws {
        try await Installation.with { installation in
            var random = SplitMix(seed: 3)
            let work = try await claimed(3, of: 20, in: installation, &random)
            let events = work.flatMap(\.events)
            let applier = installation.applier()
            for (job, events) in work.prefix(1) {
                #expect(await applier.apply(try JobResult(of: job, events)) == .applied)
            }
            // Its next transaction gets as far as the types, which somebody else holds.
            let blocker = try await installation.connect()
            _ = try await blocker.simple("BEGIN; LOCK TABLE rollups_type", deadline: TestCluster.deadline)
            let verdicts = Task {
                try await withThrowingTaskGroup(of: ApplyVerdict.self) { group in
                    for (job, events) in work.dropFirst() {
                        group.addTask { await applier.apply(try JobResult(of: job, events)) }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
            }
            let waits =
                "datname = current_database() AND application_name LIKE '%applier' "
                + "AND wait_event_type = 'Lock'"
            try await installation.wait(until: "EXISTS (SELECT FROM pg_stat_activity WHERE \(waits))")
            try await installation.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE \(waits)"
            )
            _ = try await blocker.simple("ROLLBACK", deadline: TestCluster.deadline)
            #expect(try await verdicts.value == [.applied, .applied])
            #expect(try await installation.rollups() == TestEvent.rollups(events))
            await applier.stop(deadline: TestCluster.deadline)
        }
    }

    /// A standby that does not exist holds up every COMMIT after it has happened, and the killed connection
    /// cannot say that it has.
    @Test func `asks whether a commit without an answer has happened`() async throws {
        let cluster = try await OwnCluster.start()
        try await cluster.run { installation in
            var random = SplitMix(seed: 5)
            let work = try await claimed(2, of: 20, in: installation, &random)
            let applier = installation.applier()
            let (first, firstEvents) = work[0]
            #expect(await applier.apply(try JobResult(of: first, firstEvents)) == .applied)
            try await cluster.holdCommits(in: installation)
            let (second, secondEvents) = work[1]
            let verdict = Task { await applier.apply(try JobResult(of: second, secondEvents)) }
            let waits = "wait_event = 'SyncRep' AND application_name LIKE '%applier'"
            try await installation.wait(until: "EXISTS (SELECT FROM pg_stat_activity WHERE \(waits))")
            try await cluster.releaseCommits(in: installation, killing: waits)
            #expect(try await verdict.value == .applied, "not stale: it was its own doing")
            #expect(try await installation.rollups() == TestEvent.rollups(firstEvents + secondEvents))
            await applier.stop(deadline: TestCluster.deadline)
        }
        await cluster.stop()
    }

    @Test func `merges thousands of rollups at once`() async throws {
        try await Installation.with { installation in
            let node = try await installation.makeNode()
            let queue = try await installation.queue()
            let now = WallClock.microseconds()
            let applier = installation.applier()
            let events = (0..<10_500).map {
                TestEvent(
                    time: now,
                    type: "type-\($0 % 300)",
                    source: "source-\($0 % 350 + $0 / 2_100 * 350)",
                    value: $0
                )
            }
            for _ in 0..<2 {
                try await installation.makeJob(of: node, count: 10_500)
                var job = try await queue.claim(1, epoch: node.epoch)[0]
                (job.timeMin, job.timeMax) = (now, now)
                #expect(await applier.apply(try JobResult(of: job, events)) == .applied)
            }
            let expected = TestEvent.rollups(events + events)
            #expect(expected.count > 5_000)
            let found = try await installation.rollups()
            #expect(found.count == expected.count)
            #expect(found.allSatisfy { expected[$0.key] == $0.value })
            await applier.stop(deadline: TestCluster.deadline)
        }
    }

    @Test func `refuses one result that the table cannot take, and not its neighbours`() async throws {
        try await Installation.with { installation in
            var random = SplitMix(seed: 7)
            var work = try await claimed(5, of: 10, in: installation, &random)
            work[2].events = work[2].events.map { event in
                var event = event
                event.type = "full"
                event.source = "s"
                event.time = work[2].job.timeMin
                return event
            }
            let minute = RollupKey.minute(of: work[2].job.timeMin)
            try await installation.sql(
                """
                INSERT INTO rollups_minute (minute, type, source, events)
                    VALUES (to_timestamp(\(minute / 1_000_000)), 'full', 's', \(Int64.max))
                """
            )
            var limits = Installation.limits
            limits.apply.linger = .seconds(60)
            limits.apply.resultsMax = 5
            let applier = installation.applier(limits)
            let verdicts = try await withThrowingTaskGroup(of: (Int, ApplyVerdict).self) { group in
                for (index, (job, events)) in work.enumerated() {
                    group.addTask { (index, await applier.apply(try JobResult(of: job, events))) }
                }
                return try await group.reduce(into: [Int: ApplyVerdict]()) { $0[$1.0] = $1.1 }
            }
            for (index, verdict) in verdicts where index != 2 { #expect(verdict == .applied) }
            guard case .refused(let reason) = verdicts[2] else {
                Issue.record("not refused")
                return
            }
            #expect(reason.contains("22003"))
            #expect(try await installation.number("SELECT count(*) FROM jobs") == 1)
            await applier.stop(deadline: TestCluster.deadline)
        }
    }
}
