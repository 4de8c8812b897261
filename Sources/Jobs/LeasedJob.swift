import Workers

/// What names one claim of a job; a later claim of the same job has another token.
package struct LeaseID: Hashable, Comparable, Sendable {
    package let job: Int64
    package let token: Int64

    /// Names the claim of `job` that was given `token`.
    package init(job: Int64, token: Int64) {
        self.job = job
        self.token = token
    }

    package static func < (left: LeaseID, right: LeaseID) -> Bool {
        (left.job, left.token) < (right.job, right.token)
    }
}

/// A job that this node has claimed.
package struct LeasedJob: Equatable, Sendable {
    package var id: LeaseID
    package var kind: String
    package var stream: Int64
    /// Its events have the sequence numbers `lo..<hi`.
    package var lo: Int64
    package var hi: Int64
    /// And times, in microseconds since 1970, from `timeMin` to `timeMax`.
    package var timeMin: Int64
    package var timeMax: Int64
    package var attempt: Int
    package var crashes: Int
    package var timeout: Duration
    /// How long after its cut it was claimed.
    package var age: Duration
    /// The trace that one of the requests named whose events it covers, as `traceparent`.
    package var trace: String?
}

/// Why a lease ends without a result.
package enum LeaseFailure: String, Equatable, Hashable, Sendable, CaseIterable {
    /// The worker says that it failed; another attempt may succeed.
    case error
    /// No attempt can succeed.
    case permanent
    /// Somebody cancelled the job.
    case cancelled
    /// A worker died of it.
    case crash
    /// A worker did not answer in time, or its node has lost track.
    case timeout
    /// It is given back unfinished, through no fault of its own.
    case drained
    /// Its node is gone.
    case lost

    /// What a worker's failure means for the lease.
    init(_ cause: FailureCause) {
        switch cause {
        case .error: self = .error
        case .permanent: self = .permanent
        case .cancelled: self = .cancelled
        case .crash: self = .crash
        case .timeout: self = .timeout
        case .drained: self = .drained
        }
    }
}

/// A lease and why it ends.
package struct FailedLease: Equatable, Sendable {
    package var id: LeaseID
    package var cause: LeaseFailure
    package var message: String

    /// Says that a lease ends for this cause; `message` is kept with the job.
    package init(id: LeaseID, cause: LeaseFailure, message: String) {
        self.id = id
        self.cause = cause
        self.message = message
    }
}

/// What the queue made of a failed lease.
package enum FailureVerdict: String, Equatable, Sendable, CaseIterable {
    /// Ready at once.
    case ready
    /// Ready after a pause.
    case retry
    /// Replaced by two halves.
    case split
    case dead
    case cancelled
}
