/// A place for one worker process; ``PoolState``'s view of it.
struct Slot: Equatable, Sendable {
    /// Where the slot is; every case says what ends it.
    enum Phase: Equatable {
        /// No process, and a new one may start at once: becomes booting, unless the pool drains.
        case down
        /// No process until the time is up.
        case backoff(until: Duration)
        /// Started, HELLO sent: HELLO_OK makes it idle, the time being up or the exit is a boot failure.
        case booting(until: Duration)
        /// Ready: a job makes it busy.
        case idle
        /// Has a job: the reply makes it idle, its deadline makes it dying, the exit is a crash.
        case busy(Run)
        /// Was sent DRAIN or said BYE, has no job: the exit ends it.
        case draining(until: Duration)
        /// Was sent a signal: the exit ends it, or giving up on that.
        case dying(Dying)

        var isUp: Bool {
            switch self {
            case .idle, .busy: true
            case .down, .backoff, .booting, .draining, .dying: false
            }
        }

        /// When time does something to it.
        var wake: Duration? {
            switch self {
            case .down, .idle: nil
            case .backoff(let until), .booting(let until), .draining(let until): until
            case .busy(let run): min(run.deadline, run.cancelAt ?? run.deadline)
            case .dying(let dying): dying.nextAt
            }
        }
    }

    var phase = Phase.down
    var generation = 0
    var sequence: UInt32 = 0
    /// The job that the process has already answered, to know a second answer by.
    var lastSettled: UInt32?
    var canCancel = false
    var jobsDone = 0
    var jobsMax = Int.max
    var residentBytes: Int64 = 0
    /// Boots and idle lives that went wrong in a row: sets the respawn delay.
    var failures = 0
    var restarts = 0

    var hasProcess: Bool {
        switch phase {
        case .down, .backoff: false
        case .booting, .idle, .busy, .draining, .dying: true
        }
    }

    var isBooting: Bool {
        if case .booting = phase { return true }
        return false
    }

    var run: Run? {
        switch phase {
        case .busy(let run): run
        case .dying(let dying): dying.run
        case .down, .backoff, .booting, .idle, .draining: nil
        }
    }
}

/// A job on a worker.
struct Run: Equatable, Sendable {
    let ticket: PoolState.Ticket
    let sequence: UInt32
    let startedAt: Duration
    var deadline: Duration
    /// When CANCEL goes out; `nil` when it has, or when the worker does not know it.
    var cancelAt: Duration?
    /// Why it was asked to stop: what it ends as if it does, or is killed for not doing so.
    var cancelCause: FailureCause?
}

/// A process on its way out.
struct Dying: Equatable, Sendable {
    enum Step: Equatable {
        case terminated
        case killed
    }

    /// The job that it takes along, until it is settled.
    var run: Run?
    var cause: FailureCause
    var reason: String
    var step: Step
    /// When the next rung of the ladder is due.
    var nextAt: Duration
    /// Whether it failed before it was ready.
    var isBootFailure = false
}
