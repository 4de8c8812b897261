import CoreMetrics

/// What the queue's side of a node counts; each made once.
struct JobsMetrics: Sendable {
    let claimed = Counter(label: "millrace_jobs_claimed_total")
    let completed = Counter(label: "millrace_jobs_completed_total")
    let events = Counter(label: "millrace_jobs_events_total")
    let stale = Counter(label: "millrace_jobs_stale_total")
    let split = Counter(label: "millrace_jobs_split_total")
    let dead = Counter(label: "millrace_jobs_dead_total")
    let applyRetries = Counter(label: "millrace_jobs_apply_retries_total")
    /// From BEGIN to the answer of COMMIT.
    let applySeconds = Timer(label: "millrace_jobs_apply_seconds")
    /// From the cut to the commit of the rollups.
    let lagSeconds = Timer(label: "millrace_jobs_lag_seconds")
    let backlog = Meter(label: "millrace_jobs_apply_backlog")
    private let failed: [LeaseFailure: Counter]

    init() {
        failed = Dictionary(
            uniqueKeysWithValues: LeaseFailure.allCases.map { cause in
                (cause, Counter(label: "millrace_jobs_failed_total", dimensions: [("cause", cause.rawValue)]))
            }
        )
    }

    func count(_ cause: LeaseFailure, _ verdict: FailureVerdict?) {
        guard let verdict else {
            stale.increment()
            return
        }
        failed[cause]?.increment()
        switch verdict {
        case .split: split.increment()
        case .dead: dead.increment()
        case .ready, .retry, .cancelled: break
        }
    }
}

extension Duration {
    var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000
    }
}
