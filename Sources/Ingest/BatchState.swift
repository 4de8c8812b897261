import DequeModule

/// Bounds of one writer's queue.
package struct BatchLimits: Sendable {
    /// Events in one flush.
    ///
    /// More make a commit cheaper by little and the wait for it longer.
    package var eventsMax = 2_000
    /// Bytes in one flush.
    package var bytesMax = 1 << 20
    /// Bytes that may wait for a writer; beyond, requests are refused and streams wait.
    package var pendingBytesMax = 32 << 20
    /// Events after which a flush cuts a job.
    package var cutEventsMax = 1_000
    /// The longest that stored events wait for a cut.
    package var cutInterval = Duration.milliseconds(250)
    /// How long a flush is tried before its requests are answered with 503.
    package var flushTimeout = Duration.seconds(30)
    /// How long a cut of its own is tried before queued events are looked after again; it is tried again
    /// later.
    package var cutTimeout = Duration.seconds(2)
    /// Identities that each writer remembers.
    package var recentKeysMax = 100_000

    package init() {}
}

/// Decides what a writer takes next.
///
/// Self-clocking group commit: a flush takes all that has queued while the last one was under way, within
/// limits, so a quiet writer commits at once and a busy one in large batches, without a timer.
struct BatchState<Item> {
    private struct Entry {
        let item: Item
        let events: Int
        let bytes: Int
    }

    private let limits: BatchLimits
    private var queue: Deque<Entry> = []
    private(set) var pendingBytes = 0

    init(limits: BatchLimits) {
        self.limits = limits
    }

    var isEmpty: Bool { queue.isEmpty }

    /// Whether another item of `bytes` finds room; one always does in an empty queue, whatever its size.
    func hasRoom(for bytes: Int) -> Bool {
        queue.isEmpty || pendingBytes + bytes <= limits.pendingBytesMax
    }

    mutating func add(_ item: Item, events: Int, bytes: Int) {
        queue.append(Entry(item: item, events: events, bytes: bytes))
        pendingBytes += bytes
    }

    /// Takes the next flush: at least one item, and as many as fit the limits.
    mutating func takeBatch() -> [Item] {
        var batch: [Item] = []
        var events = 0
        var bytes = 0
        while let next = queue.first {
            if !batch.isEmpty, events + next.events > limits.eventsMax || bytes + next.bytes > limits.bytesMax
            {
                break
            }
            queue.removeFirst()
            batch.append(next.item)
            events += next.events
            bytes += next.bytes
            pendingBytes -= next.bytes
        }
        return batch
    }
}
