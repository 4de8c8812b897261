import Jobs
import Postgres
import Reactor
import TestSupport
import Testing
import Workers

@Suite(.timeLimit(.minutes(3))) struct `Jobs service` {
    private func service(
        _ runner: any JobRunner,
        _ installation: Installation,
        _ limits: JobsLimits = Installation.limits
    ) async throws -> JobsService {
        let service = try await JobsService.register(
            installation.configuration,
            name: "test",
            writers: 1,
            runner: runner,
            limits: limits,
            loop: installation.loop,
            logger: TestCluster.logger,
            deadline: TestCluster.deadline,
            onFenced: {}
        )
        await service.start()
        return service
    }

    private func pool(_ installation: Installation, size: Int = 2) async -> WorkerPool {
        var configuration = WorkerPoolConfiguration.builtIn(size: size, millrace: MillraceBinary.path)
        configuration.environment = ["MILLRACE_WORKER_FAULTS": "1", "SWIFT_BACKTRACE": "enable=no"]
        configuration.limits.boot = .seconds(30)
        configuration.limits.respawnDelayMin = .milliseconds(1)
        configuration.limits.respawnDelayMax = .milliseconds(10)
        let pool = WorkerPool(configuration, loop: installation.loop, logger: TestCluster.logger)
        await pool.start()
        return pool
    }

    /// Flushes events in pieces; half of the pieces are handed over in memory, the others have to be read.
    private func feed(
        _ service: JobsService,
        _ installation: Installation,
        _ random: inout SplitMix,
        flushes: Int = 12
    ) async throws -> [TestEvent] {
        let stream = service.registration.streams[0]
        var all: [TestEvent] = []
        for number in 0..<flushes {
            let events = TestEvent.random(Int.random(in: 1...12, using: &random), &random)
            let isCut = number % 3 == 2
            let flush = try await installation.flush(events, stream: stream, isCut: isCut)
            if number % 4 < 2 {
                service.store(stream: stream, lo: flush.lo, hi: flush.hi, lines: flush.lines)
            }
            if isCut { service.wake() }
            all += events
        }
        return all
    }

    private static let isDone = "NOT EXISTS (SELECT FROM jobs)"

    @Test func `counts every event once, with real workers, from memory and from the database`() async throws
    {
        try await Installation.with { installation in
            var random = SplitMix(seed: 21)
            let service = try await service(await pool(installation), installation)
            let events = try await feed(service, installation, &random)
            try await installation.wait(until: Self.isDone)
            #expect(try await installation.rollups() == TestEvent.rollups(events))
            await service.stop(deadline: TestCluster.deadline)
            #expect(try await installation.number("SELECT count(*) FROM nodes") == 0)
            #expect(await service.jobsHeld == 0)
        }
    }

    @Test func `isolates the one event that kills workers, and counts its neighbours`() async throws {
        try await Installation.with { installation in
            var random = SplitMix(seed: 22)
            let runner = PoisonedPool(pool: await pool(installation), word: "poison")
            let service = try await service(runner, installation)
            let stream = service.registration.streams[0]
            var events = TestEvent.random(50, &random)
            events[17].subject = "poison"
            try await installation.flush(events, stream: stream)
            service.wake()
            try await installation.wait(until: Self.isDone)
            let dead = try await installation.sql(
                "SELECT lo - \(stream << 40), hi - lo, reason FROM dead_jobs"
            )
            #expect(dead == [["17", "1", "crash"]])
            events.remove(at: 17)
            #expect(try await installation.rollups() == TestEvent.rollups(events))
            await service.stop(deadline: TestCluster.deadline)
        }
    }

    @Test func `goes on when all its connections are killed, again and again`() async throws {
        try await Installation.with { installation in
            var random = SplitMix(seed: 23)
            let service = try await service(StubRunner(slots: 3), installation)
            var events: [TestEvent] = []
            for _ in 0..<5 {
                events += try await feed(service, installation, &random, flushes: 6)
                try await installation.sql(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                        WHERE pid <> pg_backend_pid() AND datname = current_database()
                    """
                )
            }
            try await installation.wait(until: Self.isDone)
            #expect(try await installation.rollups() == TestEvent.rollups(events))
            await service.stop(deadline: TestCluster.deadline)
        }
    }

    @Test func `takes no result that is not one`() async throws {
        try await Installation.with { installation in
            var random = SplitMix(seed: 24)
            let lying = StubRunner { job in
                if job.items > 1 { return .result(encoding: "rollup1", body: [1, 0]) }
                return job.body.count.isMultiple(of: 2)
                    ? .result(encoding: "rollup1", body: Array("nonsense".utf8))
                    : await StubRunner.rollup(job)
            }
            let service = try await service(lying, installation)
            let events = TestEvent.random(8, &random)
            try await installation.flush(events, stream: service.registration.streams[0])
            service.wake()
            try await installation.wait(until: Self.isDone)
            let good = events.filter { !$0.line.count.isMultiple(of: 2) }
            #expect(try await installation.rollups() == TestEvent.rollups(good))
            let dead = try await installation.sql("SELECT count(*) FROM dead_jobs WHERE reason = 'permanent'")
            #expect(dead == [[String(events.count - good.count)]])
            await service.stop(deadline: TestCluster.deadline)
        }
    }

    @Test func `waits for workers that give everything back`() async throws {
        try await Installation.with { installation in
            var random = SplitMix(seed: 25)
            let refusals = Countdown(5)
            let runner = StubRunner { job in
                if await refusals.next() {
                    return .failed(cause: .drained, message: "no worker can be started")
                }
                return await StubRunner.rollup(job)
            }
            let service = try await service(runner, installation)
            let events = try await feed(service, installation, &random)
            try await installation.wait(until: Self.isDone)
            #expect(try await installation.rollups() == TestEvent.rollups(events))
            #expect(try await installation.number("SELECT count(*) FROM dead_jobs") == 0)
            await service.stop(deadline: TestCluster.deadline)
        }
    }

    @Test func `gives back leases that it does not know of`() async throws {
        try await Installation.with { installation in
            var limits = Installation.limits
            limits.dispatch.reconcile = .milliseconds(20)
            var random = SplitMix(seed: 26)
            let service = try await service(StubRunner(), installation, limits)
            let epoch = service.registration.epoch
            let events = TestEvent.random(10, &random)
            // A claim whose answer never came; nobody sees the job before it is leased.
            try await installation.sql("BEGIN")
            try await installation.flush(events, stream: service.registration.streams[0])
            try await installation.sql(
                """
                UPDATE jobs SET state = 2, epoch = $1, token = nextval('lease_tokens'), attempt = 1,
                    deadline_at = now() + interval '1 h'
                """,
                [epoch]
            )
            try await installation.sql("COMMIT")
            try await installation.wait(until: Self.isDone)
            #expect(try await installation.rollups() == TestEvent.rollups(events))
            await service.stop(deadline: TestCluster.deadline)
        }
    }

    @Test func `gives everything up when it is declared dead`() async throws {
        try await Installation.with { installation in
            var limits = Installation.limits
            limits.lease.beat = .milliseconds(5)
            let runner = StubRunner()
            let service = try await service(runner, installation, limits)
            try await installation.sql("SELECT bury_node(epoch) FROM nodes")
            let deadline = TestCluster.deadline
            while await !runner.wasKilled, Deadline.now() < deadline { await Task.yield() }
            #expect(await runner.wasKilled)
            #expect(await service.isFenced)
            await service.stop(deadline: TestCluster.deadline)
        }
    }
}

/// Says yes a number of times.
actor Countdown {
    private var left: Int

    init(_ count: Int) { left = count }

    func next() -> Bool {
        left -= 1
        return left >= 0
    }
}
