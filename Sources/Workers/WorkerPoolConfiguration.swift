package import Reactor

/// What a pool of workers runs, and how.
package struct WorkerPoolConfiguration: Sendable {
    /// The worker's program by its absolute path, and its arguments.
    package var command: [String]
    /// Processes at most.
    package var size: Int
    /// The path of the `millrace` program, which every worker is for an instant (`exec-worker`).
    package var trampoline: String
    /// The workers' whole environment but for the AWP_ variables; never the service's own, which holds
    /// secrets.
    package var environment: [String: String] = [:]
    /// Who the workers run as, when the service runs as root.
    package var user: UserIdentity?
    /// Whether frames go over standard input and output, for runtimes that cannot open descriptors 3 and 4.
    package var usesStandardStreams = false
    /// Named in HELLO.
    package var server = "millrace"
    /// Of the jitter.
    package var seed: UInt64 = 0
    package var limits = WorkerLimits()

    package init(command: [String], size: Int, trampoline: String) {
        self.command = command
        self.size = size
        self.trampoline = trampoline
    }

    /// The built-in analytics worker.
    package static func builtIn(size: Int, millrace: String) -> WorkerPoolConfiguration {
        WorkerPoolConfiguration(command: [millrace, "worker"], size: size, trampoline: millrace)
    }

    func launch(slot: Int, generation: Int) -> ChildProcess.Launch {
        var launch = ChildProcess.Launch(command: command, environment: environment, trampoline: trampoline)
        launch.user = user
        launch.environment["AWP_FDS"] = usesStandardStreams ? "0,1" : "3,4"
        launch.environment["AWP_VERSION"] = "1"
        launch.environment["AWP_SLOT"] = "\(slot)"
        launch.environment["AWP_GENERATION"] = "\(generation)"
        launch.environment["AWP_RSS_LIMIT"] = "\(limits.residentBytesMax)"
        return launch
    }
}

/// One slot of the pool, for `/v1/stats` and the dashboard.
package struct WorkerStatus: Equatable, Sendable {
    package enum State: String, Equatable, Sendable, CaseIterable {
        case down, backoff, booting, idle, busy, draining, dying
    }

    package var slot: Int
    package var pid: Int32?
    package var generation: Int
    package var state: State
    package var jobID: Int64?
    package var jobKind: String?
    /// How long the job has been running.
    package var jobAge: Duration?
    /// What the worker says of its progress.
    package var jobDone: Int64?
    package var jobTotal: Int64?
    /// Of this process.
    package var jobsDone: Int
    /// Of this slot.
    package var restarts: Int
    /// Of this process.
    package var age: Duration?
    /// As it reported last.
    package var residentBytes: Int64?
}
