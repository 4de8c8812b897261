import CoreMetrics
import Synchronization

/// What the write path counts; one value for all writers.
struct IngestMetrics: Sendable {
    private let stored = Counter(label: "millrace_events_stored_total")
    private let duplicates = Counter(label: "millrace_events_duplicates_total")
    private let rejected = Counter(label: "millrace_events_rejected_total")
    private let replayed = Counter(label: "millrace_rejects_replayed_total")
    private let received = Counter(label: "millrace_events_received_total")
    private let bytes = Counter(label: "millrace_events_received_bytes_total")
    private let shed = Counter(label: "millrace_requests_shed_total")
    private let shedCount = SharedCount()
    private let limited = Counter(label: "millrace_requests_rate_limited_total")
    private let flushes = Counter(label: "millrace_flushes_total")
    private let failures = Counter(label: "millrace_flushes_failed_total")
    private let remembered = Counter(label: "millrace_duplicates_remembered_total")
    private let fallbacks = Counter(label: "millrace_flush_fallbacks_total")
    private let unknown = Counter(label: "millrace_flush_unknown_outcomes_total")
    private let refusals = Counter(label: "millrace_flush_row_refusals_total")
    private let queueWait = Timer(label: "millrace_ingest_queue_seconds")
    private let drained = Counter(label: "millrace_spool_drained_events_total")
    private let diversions = Counter(label: "millrace_flushes_spooled_total")
    private let flushDuration = Timer(label: "millrace_flush_duration_seconds")
    private let flushRows = Recorder(label: "millrace_flush_rows")
    private let requestDuration = Timer(label: "millrace_ingest_duration_seconds")

    /// Counts a committed flush.
    func flushed(_ plan: FlushPlan, after duration: Duration) {
        var new = 0
        var repeated = 0
        var refused = plan.rejectionCount
        for verdict in plan.verdicts.joined() {
            switch verdict {
            case .stored: new += 1
            case .duplicate: repeated += 1
            case .refused, .aborted: refused += 1
            case .spooled: break
            }
        }
        stored.increment(by: new)
        duplicates.increment(by: repeated)
        remembered.increment(by: plan.duplicates)
        rejected.increment(by: refused)
        // What is replayed came in before.
        let old = plan.replay?.rejects.count ?? 0
        replayed.increment(by: old)
        received.increment(by: new + repeated + refused - old)
        bytes.increment(by: plan.byteCount)
        flushes.increment()
        flushRows.record(plan.rows.count)
        flushDuration.recordNanoseconds(Self.nanoseconds(duration))
    }

    /// Takes note of how long a flush's oldest request has waited for it.
    func queued(for duration: Duration) { queueWait.recordNanoseconds(Self.nanoseconds(duration)) }
    /// Counts what a transaction has moved from the spool.
    func drained(_ plan: FlushPlan) {
        let verdicts = plan.verdicts.joined()
        let new = verdicts.count { $0 == .stored }
        let repeated = verdicts.count { $0 == .duplicate }
        let refused = plan.rejectionCount + verdicts.count - new - repeated
        stored.increment(by: new)
        duplicates.increment(by: repeated)
        rejected.increment(by: refused)
        received.increment(by: new + repeated + refused)
        bytes.increment(by: plan.byteCount)
        drained.increment(by: new + repeated + refused)
    }

    /// Counts a flush that went to the spool.
    func diverted() { diversions.increment() }

    func flushFailed() { failures.increment() }
    func fellBack() { fallbacks.increment() }
    func outcomeUnknown() { unknown.increment() }
    func rowsRefused() { refusals.increment() }

    /// Counts a request that was refused because of overload.
    func requestShed() {
        shed.increment()
        shedCount.value.wrappingAdd(1, ordering: .relaxed)
    }

    /// Counts a request that was refused because of its key's rate.
    func requestLimited() { limited.increment() }

    var requestsShed: Int64 { shedCount.value.load(ordering: .relaxed) }
    func answered(after duration: Duration) { requestDuration.recordNanoseconds(Self.nanoseconds(duration)) }

    private static func nanoseconds(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        return seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000
    }
}

/// A count that several loops add to and the statistics read.
private final class SharedCount: Sendable {
    let value = Atomic<Int64>(0)
}
