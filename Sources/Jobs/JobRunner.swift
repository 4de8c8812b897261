package import Reactor
package import Workers

/// Runs a job's work: the pool of worker processes, or a test's own.
package protocol JobRunner: Sendable {
    /// Runs a job and returns exactly once, when it has ended in whatever way.
    func run(_ job: WorkerJob) async -> WorkerOutcome
    /// Workers that would take a job at once.
    var freeSlots: Int { get async }
    /// Workers that work or could; with none nothing is claimed.
    var workersUp: Int { get async }
    /// Returns when a worker is free, or the task is cancelled.
    func freed() async
    /// Ends the workers, those that work at the deadline; every ``run(_:)`` has returned then.
    func drain(deadline: Deadline) async
    /// Ends all work at once and starts anew.
    func killAll() async
}

extension WorkerPool: JobRunner {}
