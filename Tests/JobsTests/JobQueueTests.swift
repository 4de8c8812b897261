import Jobs
import Postgres
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct `Job queue` {
    private func fail(
        _ queue: JobQueue,
        _ job: LeasedJob,
        _ cause: LeaseFailure
    ) async throws -> FailureVerdict? {
        try await queue.fail([FailedLease(id: job.id, cause: cause, message: "a\u{0}\"b\\")])[job.id]
    }

    @Test func `leaves a job to its origin for a second, as long as that lives`() async throws {
        try await Installation.with { installation in
            let queue = try await installation.queue()
            let (one, two) = (try await installation.makeNode(), try await installation.makeNode())
            try await installation.makeJob(of: one)
            try await installation.sql("UPDATE jobs SET created_at = now() + interval '1 h'")
            #expect(try await queue.claim(5, epoch: two.epoch).isEmpty)
            let own = try await queue.claim(5, epoch: one.epoch)
            #expect(own.count == 1)

            try await installation.makeJob(of: one)
            try await installation.sql("UPDATE jobs SET created_at = now() - interval '2 s'")
            #expect(try await queue.claim(5, epoch: two.epoch).count == 1)

            try await installation.makeJob(of: one)
            try await installation.sql("UPDATE jobs SET created_at = now() + interval '1 h' WHERE state = 1")
            try await installation.sql("SELECT bury_node('\(one.epoch)')")
            #expect(try await queue.claim(5, epoch: two.epoch).count == 1)
        }
    }

    @Test func `gives nothing to a node that is gone or draining`() async throws {
        try await Installation.with { installation in
            let queue = try await installation.queue()
            let node = try await installation.makeNode()
            try await installation.makeJob(of: node)
            try await installation.sql("UPDATE nodes SET draining = true")
            #expect(try await queue.claim(5, epoch: node.epoch).isEmpty)
            try await installation.sql("SELECT bury_node('\(node.epoch)')")
            #expect(try await queue.claim(5, epoch: node.epoch).isEmpty)
        }
    }

    @Test func `takes high priorities first, and the oldest when asked to`() async throws {
        try await Installation.with { installation in
            let queue = try await installation.queue()
            let node = try await installation.makeNode()
            let old = try await installation.makeJob(of: node)
            let urgent = try await installation.makeJob(of: node)
            try await installation.sql("UPDATE jobs SET priority = 1 WHERE id = \(urgent)")
            #expect(try await queue.claim(1, epoch: node.epoch).map(\.id.job) == [urgent])
            let later = try await installation.makeJob(of: node)
            try await installation.sql("UPDATE jobs SET priority = 1 WHERE id = \(later)")
            let claimed = try await queue.claim(1, epoch: node.epoch, ignoresPriority: true)
            #expect(claimed.map(\.id.job) == [old])
        }
    }

    @Test func `gives each job to one of many who ask at once`() async throws {
        try await Installation.with { installation in
            let node = try await installation.makeNode()
            for _ in 0..<60 { try await installation.makeJob(of: node) }
            var queues: [JobQueue] = []
            for _ in 0..<4 { queues.append(try await installation.queue()) }
            let claimed = try await withThrowingTaskGroup(of: [Int64].self) { group in
                for queue in queues {
                    group.addTask {
                        var ids: [Int64] = []
                        while true {
                            let jobs = try await queue.claim(3, epoch: node.epoch)
                            if jobs.isEmpty { return ids }
                            ids += jobs.map(\.id.job)
                        }
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(claimed.count == 60)
            #expect(Set(claimed).count == 60)
        }
    }

    /// Without `j.token = i.token` in the statement that fails leases the old lease ends the new one here.
    @Test func `does nothing for a lease that is over`() async throws {
        try await Installation.with { installation in
            let queue = try await installation.queue()
            let node = try await installation.makeNode()
            try await installation.makeJob(of: node)
            let first = try await queue.claim(1, epoch: node.epoch)[0]
            #expect(try await fail(queue, first, .drained) == .ready)
            let second = try await queue.claim(1, epoch: node.epoch)[0]
            #expect(second.id.job == first.id.job)
            #expect(second.id.token > first.id.token)
            #expect(second.attempt == 1, "the attempt was given back")
            for cause in LeaseFailure.allCases { #expect(try await fail(queue, first, cause) == nil) }
            #expect(try await queue.leases(of: node.epoch) == [second.id])
        }
    }

    @Test func `splits a job that kills its workers, down to the one event`() async throws {
        try await Installation.with { installation in
            let queue = try await installation.queue()
            let node = try await installation.makeNode()
            let root = try await installation.makeJob(of: node, count: 5)
            let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            try await installation.sql("UPDATE jobs SET traceparent = $1", [trace])
            var job = try await queue.claim(1, epoch: node.epoch)[0]
            #expect(try await fail(queue, job, .crash) == .retry)
            try await installation.sql("UPDATE jobs SET run_at = now()")
            #expect(try await queue.promote() == 1)
            job = try await queue.claim(1, epoch: node.epoch)[0]
            #expect(job.crashes == 1)
            #expect(try await fail(queue, job, .timeout) == .split)
            let lo = job.lo
            let halves = try await queue.claim(5, epoch: node.epoch)
            #expect(halves.map { [$0.lo - lo, $0.hi - lo] } == [[0, 2], [2, 5]])
            #expect(halves.allSatisfy { $0.stream == job.stream && $0.timeMin == job.timeMin })
            #expect(halves.allSatisfy { $0.trace == trace } && job.trace == trace)
            #expect(try await fail(queue, halves[1], .permanent) == .split)
            #expect(try await fail(queue, halves[0], .crash) == .split, "children have no second chance")
            let quarters = try await queue.claim(5, epoch: node.epoch)
            let quarter = try #require(quarters.first { $0.hi - $0.lo == 1 })
            #expect(try await fail(queue, quarter, .crash) == .dead)
            let dead = try await installation.sql(
                "SELECT reason, root_id, errors->-1->>'message', crashes, traceparent FROM dead_jobs"
            )
            #expect(dead == [["crash", String(root), "a \"b\\", "1", trace]])
            let outcomes = try await installation.sql("SELECT status FROM job_outcomes ORDER BY 1")
            #expect(outcomes.map { $0[0] } == ["dead", "split", "split", "split"])
        }
    }

    @Test(arguments: [
        (LeaseFailure.error, 4, FailureVerdict.dead), (.lost, 4, .split), (.permanent, 0, .split),
        (.cancelled, 0, .cancelled), (.crash, 1, .split),
    ])
    func `has a budget for each cause`(
        _ cause: LeaseFailure,
        _ retries: Int,
        _ last: FailureVerdict
    ) async throws {
        try await Installation.with { installation in
            let queue = try await installation.queue()
            let node = try await installation.makeNode()
            try await installation.makeJob(of: node, count: 2)
            for attempt in 0...retries {
                let job = try await queue.claim(1, epoch: node.epoch)[0]
                let verdict = try await fail(queue, job, cause)
                #expect(verdict == (attempt < retries ? .retry : last), "attempt \(attempt)")
                try await installation.sql("UPDATE jobs SET run_at = now(), state = 1 WHERE state = 0")
            }
        }
    }
}
