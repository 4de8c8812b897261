import Glibc
import Reactor
import TestSupport
import Testing

extension `End to end` {
    /// A worker stands still until another one has its job, as if its node had been taken for dead.
    ///
    /// What it then brings must not count, not even once, for somebody else is at it.
    @Test func `leaves a job to its holder when a result of an earlier lease comes late`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let workers = try await service.waitForWorkers()
            // Stopped first, so that neither has done its job before it is to.
            for worker in workers { kill(try #require(worker.pid), SIGSTOP) }
            let events = MadeEvents(200, prefix: "late", seed: 9)
            _ = try await service.stream(events.lines)
            let zombie = try await holder(of: service, besides: nil)

            // What a sweep does with the lease of a node that is gone.
            let back = try await installation.query(
                """
                UPDATE jobs SET state = 1, token = NULL, epoch = NULL, leased_at = NULL, deadline_at = NULL
                  WHERE state = 2 RETURNING id
                """
            )
            #expect(back.count == 1, "one job, to be held twice")
            let current = try await holder(of: service, besides: zombie.slot)
            #expect(current.job == zombie.job)
            let lease = try await installation.query("SELECT id, token FROM jobs WHERE state = 2")

            kill(try #require(zombie.pid), SIGCONT)
            try await until("the late result has been looked at", on: installation.loop) {
                let metrics = try await service.get("/metrics").text
                if metrics.contains("millrace_jobs_stale_total 1") { return true }
                return try await installation.number("SELECT count(*) FROM job_outcomes") > 0
            }
            #expect(try await installation.query("SELECT id, token FROM jobs WHERE state = 2") == lease)
            #expect(try await installation.number("SELECT count(*) FROM rollups_minute") == 0)
            #expect(try await service.stats().analytics.lagEvents == 200)

            kill(try #require(current.pid), SIGCONT)
            try await service.waitForAnalytics()
            try await StoredFacts.read(installation).expect(events.countsByType, "by the holder alone")
            #expect(try await installation.query("SELECT id, token FROM job_outcomes") == lease)
        }
    }

    /// The worker that has a job, once there is one besides that of the given slot.
    private func holder(of service: RunningService, besides slot: Int?) async throws -> Stats.Worker {
        var holder: Stats.Worker?
        try await until("a worker has a job", on: service.loop) {
            holder = try await service.stats().workers.first { $0.job != nil && $0.slot != slot }
            return holder != nil
        }
        return try #require(holder)
    }
}
