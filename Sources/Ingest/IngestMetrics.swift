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
    private let routes = AccountRoute.allCases.map { RouteCounters($0) }
    private let requestDuration = Timer(label: "millrace_ingest_duration_seconds")

    /// Counts a committed flush.
    func flushed(_ plan: FlushPlan, after duration: Duration) {
        countEvents(of: plan)
        remembered.increment(by: plan.duplicates)
        replayed.increment(by: plan.replay?.rejects.count ?? 0)
        flushes.increment()
        flushRows.record(plan.rows.count)
        flushDuration.recordNanoseconds(Self.nanoseconds(duration))
    }

    /// Counts what has become of the plan's events, and returns how many they are.
    @discardableResult
    private func countEvents(of plan: FlushPlan) -> Int {
        var all = EventTally()
        for route in routes {
            var tally = EventTally()
            // By their positions: whole submissions would be copied.
            for index in plan.submissions.indices where plan.submissions[index].route == route.route {
                tally.add(
                    plan.verdicts[index],
                    refusedBefore: plan.submissions[index].rejections.count
                        + plan.submissions[index].aborted,
                    isReplay: plan.submissions[index].replay != nil
                )
            }
            if tally == EventTally() { continue }
            route.add(tally)
            all.add(tally)
        }
        stored.increment(by: all.stored)
        duplicates.increment(by: all.duplicates)
        rejected.increment(by: all.rejected)
        received.increment(by: all.received)
        bytes.increment(by: plan.byteCount)
        return all.settled
    }

    /// Takes note of how long a flush's oldest request has waited for it.
    func queued(for duration: Duration) { queueWait.recordNanoseconds(Self.nanoseconds(duration)) }
    /// Counts what a transaction has moved from the spool.
    func drained(_ plan: FlushPlan) {
        drained.increment(by: countEvents(of: plan))
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

/// What has become of some events.
private struct EventTally: Equatable {
    var received = 0
    var stored = 0
    var duplicates = 0
    var rejected = 0

    mutating func add(_ verdicts: [Verdict], refusedBefore: Int, isReplay: Bool) {
        let before = settled
        for verdict in verdicts {
            switch verdict {
            case .stored: stored += 1
            case .duplicate: duplicates += 1
            case .refused, .aborted: rejected += 1
            case .spooled: break
            }
        }
        // What is replayed came in before.
        received += refusedBefore + (isReplay ? 0 : settled - before)
        rejected += refusedBefore
    }

    /// Events of which it is known what has become of them.
    var settled: Int { stored + duplicates + rejected }

    mutating func add(_ other: EventTally) {
        received += other.received
        stored += other.stored
        duplicates += other.duplicates
        rejected += other.rejected
    }
}

/// The counters of one way in.
private struct RouteCounters: Sendable {
    let route: AccountRoute
    private let received: Counter
    private let stored: Counter
    private let duplicates: Counter
    private let rejected: Counter

    init(_ route: AccountRoute) {
        func counter(_ outcome: String) -> Counter {
            Counter(
                label: "millrace_accounts_events_total",
                dimensions: [("route", route.rawValue), ("outcome", outcome)]
            )
        }
        self.route = route
        received = counter("received")
        stored = counter("stored")
        duplicates = counter("duplicates")
        rejected = counter("rejected")
    }

    func add(_ tally: EventTally) {
        received.increment(by: tally.received)
        stored.increment(by: tally.stored)
        duplicates.increment(by: tally.duplicates)
        rejected.increment(by: tally.rejected)
    }
}

/// A count that several loops add to and the statistics read.
private final class SharedCount: Sendable {
    let value = Atomic<Int64>(0)
}
