import CoreMetrics
import Reactor
import Synchronization

/// The events that this node has stored lately, for the jobs that will count them; any thread may call.
///
/// A job whose events are not here is no error: they are read from the database then.
package final class EventCache: Sendable {
    private let ranges: Mutex<EventRanges>
    private let origin = Deadline.now()
    private let dropped = Counter(label: "millrace_jobs_cache_dropped_total")
    private let hits = Counter(label: "millrace_jobs_cache_hits_total")
    private let misses = Counter(label: "millrace_jobs_cache_misses_total")
    private let held = Meter(label: "millrace_jobs_cache_bytes")

    /// An empty cache.
    package init(limits: EventCacheLimits = EventCacheLimits()) {
        ranges = Mutex(EventRanges(limits: limits))
    }

    /// Bytes held now.
    package var bytes: Int { ranges.withLock { $0.bytes } }

    /// Keeps the lines of a flush that has been committed, which used the numbers `lo..<hi` of its stream.
    package func store(stream: Int64, lo: Int64, hi: Int64, lines: [UInt8]) {
        let now = Deadline.now().duration(since: origin)
        let batch = EventBatch(lines: lines)
        let isKept = ranges.withLock { $0.store(stream: stream, lo: lo, hi: hi, batch: batch, now: now) }
        if !isKept { dropped.increment() }
    }

    /// Hands over the events of a job; `nil` when not all of them are here.
    package func take(stream: Int64, lo: Int64, hi: Int64) -> EventBatch? {
        let (batch, bytes) = ranges.withLock { ranges in
            (ranges.take(stream: stream, lo: lo, hi: hi), ranges.bytes)
        }
        held.set(bytes)
        if batch == nil { misses.increment() } else { hits.increment() }
        return batch
    }
}
