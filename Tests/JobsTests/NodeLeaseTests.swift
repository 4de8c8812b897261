import Postgres
import Reactor
import Synchronization
import TestSupport
import Testing

@testable import Jobs

@Suite(.timeLimit(.minutes(2))) struct `Node lease` {
    @Test func `registers streams, beats, and buries itself with its tail cut`() async throws {
        try await Installation.with { installation in
            let lease = try await installation.makeLease()
            let stream = try #require(lease.registration.streams.first)
            var random = SplitMix(seed: 1)
            try await installation.flush(TestEvent.random(3, &random), stream: stream, isCut: false)
            try await installation.sql("UPDATE nodes SET beat_at = now() - interval '10 s'")
            await lease.beat()
            #expect(
                try await installation.sql("SELECT now() - beat_at < interval '9 s' FROM nodes") == [["t"]]
            )

            await lease.stop(deadline: TestCluster.deadline)
            #expect(try await installation.number("SELECT count(*) FROM nodes") == 0)
            #expect(try await installation.number("SELECT count(*) FROM streams") == 0)
            #expect(try await installation.number("SELECT hi - lo FROM jobs") == 3)
            #expect(try await installation.number("SELECT stored FROM totals") == 3)
        }
    }

    @Test func `says once that it was declared dead, and changes nothing afterwards`() async throws {
        try await Installation.with { installation in
            let fencings = Atomic<Int>(0)
            let lease = try await installation.makeLease(onFenced: { fencings.add(1, ordering: .relaxed) })
            try await installation.sql("SELECT bury_node('\(lease.epoch)')")
            await lease.beat()
            await lease.beat()
            #expect(await lease.isFenced)
            let deadline = TestCluster.deadline
            while fencings.load(ordering: .relaxed) == 0, Deadline.now() < deadline { await Task.yield() }
            await lease.beat()
            #expect(fencings.load(ordering: .relaxed) == 1)
            await lease.stop(deadline: TestCluster.deadline)
        }
    }

    @Test func `outlives its connection`() async throws {
        try await Installation.with { installation in
            let lease = try await installation.makeLease()
            try await installation.sql(
                """
                SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
                    WHERE application_name LIKE '%lease' AND datname = current_database()
                """
            )
            await lease.beat()
            await lease.beat()
            #expect(await !lease.isFenced)
            #expect(
                try await installation.sql("SELECT now() - beat_at < interval '9 s' FROM nodes") == [["t"]]
            )
            await lease.stop(deadline: TestCluster.deadline)
        }
    }

    @Test func `starts to beat by itself`() async throws {
        try await Installation.with { installation in
            var limits = Installation.limits
            limits.lease.beat = .milliseconds(5)
            let lease = try await installation.makeLease(limits)
            await lease.start()
            try await installation.wait(until: "(SELECT beat_at > started_at FROM nodes)")
            await lease.stop(deadline: TestCluster.deadline)
        }
    }

    /// A node vanishes with a lease and an uncut tail; another one does both jobs; the first wakes up and
    /// counts nothing.
    @Test func `hands the jobs of a lost node to another`() async throws {
        try await Installation.with { installation in
            var random = SplitMix(seed: 9)
            let (zombie, survivor) = (try await installation.makeLease(), try await installation.makeLease())
            let stream = zombie.registration.streams[0]
            let events = [TestEvent.random(20, &random), TestEvent.random(30, &random)]
            try await installation.flush(events[0], stream: stream)
            try await installation.flush(events[1], stream: stream, isCut: false)
            let queue = try await installation.queue()
            let held = try await queue.claim(1, epoch: zombie.epoch)[0]

            // However long all this has taken on a slow machine.
            try await installation.sql("UPDATE nodes SET beat_at = now()")
            await survivor.sweep()
            #expect(try await queue.leases(of: zombie.epoch) == [held.id], "nobody has expired yet")
            try await installation.sql("UPDATE nodes SET beat_at = now() - ttl - interval '1 s'")
            await survivor.sweep()
            #expect(try await installation.sql("SELECT epoch FROM nodes") == [[survivor.epoch]])
            #expect(
                try await installation.sql("SELECT losses, attempt FROM jobs WHERE id = \(held.id.job)") == [
                    ["1", "0"]
                ]
            )

            let applier = installation.applier()
            #expect(await applier.apply(try JobResult(of: held, events[0])) == .stale)
            await zombie.beat()
            #expect(await zombie.isFenced)

            try await installation.sql("UPDATE jobs SET run_at = now(), state = 1")
            let reader = EventReader(
                connection: try await installation.connect(),
                limits: Installation.limits
            )
            let jobs = try await queue.claim(5, epoch: survivor.epoch)
            #expect(jobs.count == 2)
            for (job, sent) in zip(jobs, events) {
                guard case .events(let batch) = try await reader.read(job) else {
                    Issue.record("not read")
                    continue
                }
                #expect(batch == EventBatch(lines: sent.flatMap(\.line)), "as if they had stayed in memory")
                #expect(await applier.apply(try JobResult(of: job, sent)) == .applied)
            }
            #expect(await applier.apply(try JobResult(of: held, events[0])) == .stale)
            #expect(try await installation.rollups() == TestEvent.rollups(events.flatMap(\.self)))
            await applier.stop(deadline: TestCluster.deadline)
            await zombie.stop(deadline: TestCluster.deadline)
            await survivor.stop(deadline: TestCluster.deadline)
        }
    }

    @Test func `ends leases of nodes that live and have lost track`() async throws {
        try await Installation.with { installation in
            let lease = try await installation.makeLease()
            let job = try await installation.makeJob(of: lease.registration)
            let queue = try await installation.queue()
            _ = try await queue.claim(1, epoch: lease.epoch)
            try await installation.sql("UPDATE jobs SET deadline_at = now() - interval '1 s'")
            await lease.sweep()
            #expect(
                try await installation.sql("SELECT id, crashes, state FROM jobs") == [
                    [String(job), "1", "0"]
                ]
            )
            await lease.stop(deadline: TestCluster.deadline)
        }
    }

    @Test func `waits for nobody who holds a dead node's stream`() async throws {
        try await Installation.with { installation in
            var limits = Installation.limits
            limits.lease.lock = .milliseconds(1)
            let (dead, survivor) = (
                try await installation.makeNode(), try await installation.makeLease(limits)
            )
            let flush = try await installation.connect()
            _ = try await flush.simple(
                "BEGIN; SELECT FROM streams WHERE stream = \(dead.streams[0]) FOR UPDATE",
                deadline: TestCluster.deadline
            )
            try await installation.sql("UPDATE nodes SET beat_at = now() - ttl - interval '1 s'")
            await survivor.sweep()
            #expect(try await installation.number("SELECT count(*) FROM nodes") == 2)
            _ = try await flush.simple("ROLLBACK", deadline: TestCluster.deadline)
            await survivor.sweep()
            #expect(try await installation.number("SELECT count(*) FROM nodes") == 1)
            await survivor.stop(deadline: TestCluster.deadline)
        }
    }
}
