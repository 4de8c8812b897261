import Glibc
import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test func `counts every event once when a worker is killed in the middle of its job`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let workers = try await service.waitForWorkers()
            let (victim, neighbour) = (workers[0], workers[1])
            let events = MadeEvents(20_000, prefix: "worker", seed: 3)

            // Stopped first, so that its job is certainly not done when it is killed.
            let pid = try #require(victim.pid)
            kill(pid, SIGSTOP)
            _ = try await service.stream(events.lines)
            try await until("only the stopped worker has a job left", on: installation.loop) {
                let stats = try await service.stats()
                let isHeld = stats.workers[0].job != nil && stats.workers[0].pid == pid
                let jobs = stats.analytics.jobs
                return isHeld && jobs.ready == 0 && jobs.leased == 1 && stats.workers[1].jobsDone > 0
            }
            let lag = try await service.stats().analytics.lagEvents
            #expect(lag > 0)
            kill(pid, SIGKILL)

            try await service.waitForAnalytics()
            try await StoredFacts.read(installation).expect(events.countsByType, "after the kill")
            let after = try await service.waitForWorkers()
            #expect(after[0].restarts == 1)
            #expect(after[0].pid != pid)
            #expect(after[1].restarts == 0)
            #expect(after[1].pid == neighbour.pid)
        }
    }

    @Test func `counts every event once when workers are killed again and again under load`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve(workers: 3)
            _ = try await service.waitForWorkers()
            let events = MadeEvents(24_000, prefix: "workers", seed: 4)

            let killed = try await withThrowingTaskGroup(of: IngestAnswer?.self) { group in
                group.addTask { try await service.stream(events.lines) }
                let killed = try await killBusyWorkers(5, of: service)
                for try await answer in group { #expect(answer?.stored == 24_000) }
                return killed
            }

            #expect(killed > 0)
            try await service.waitForAnalytics()
            try await StoredFacts.read(installation).expect(events.countsByType, "after \(killed) kills")
            #expect(try await service.stats().totals.stored == 24_000)
            try await until("every worker that was killed is replaced", on: installation.loop) {
                let workers = try await service.stats().workers
                return workers.reduce(0) { $0 + $1.restarts } == killed
                    && workers.allSatisfy { $0.state == "idle" }
            }
        }
    }

    /// Kills workers at work, each with another job: twice in the same one would make that a dead job, and
    /// rightly so.
    ///
    /// - Returns: How many there were before the jobs ran out.
    private func killBusyWorkers(_ countMax: Int, of service: RunningService) async throws -> Int {
        var jobs: Set<Int64> = []
        try await until("\(countMax) workers are killed", on: service.loop) {
            let stats = try await service.stats()
            for worker in stats.workers where worker.state == "busy" && jobs.count < countMax {
                guard let pid = worker.pid, let job = worker.job, jobs.insert(job).inserted else { continue }
                kill(pid, SIGKILL)
            }
            let isDone = stats.totals.stored == 24_000 && stats.analytics.lagEvents == 0
            return jobs.count == countMax || isDone
        }
        return jobs.count
    }
}
