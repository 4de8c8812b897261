import DequeModule

/// Bounds of the queue of events to be written, and of its flushes.
package struct BatchLimits: Sendable {
    /// Events in one flush.
    ///
    /// More make a commit cheaper by little and the wait for it longer.
    package var eventsMax = 2_000
    /// Bytes in one flush.
    package var bytesMax = 1 << 20
    /// Bytes that may wait for the writers; beyond, requests are refused and streams wait.
    package var pendingBytesMax = 32 << 20
    /// Events or bytes that are worth a transaction beside one that is under way; fewer wait for its end.
    package var parallelEventsMin = 128
    package var parallelBytesMin = 64 << 10
    /// Events after which a flush cuts a job.
    package var cutEventsMax = 1_000
    /// The longest that stored events wait for a cut.
    package var cutInterval = Duration.milliseconds(250)
    /// How long a flush is tried before its requests are answered with 503.
    package var flushTimeout = Duration.seconds(30)
    /// How long a cut of its own is tried before queued events are looked after again; it is tried again
    /// later.
    package var cutTimeout = Duration.seconds(2)
    /// Identities of committed events that are remembered.
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
        let sender: Int64?
        let events: Int
        let bytes: Int
        let isAlone: Bool
    }

    private let limits: BatchLimits
    private var queue: Deque<Entry> = []
    private(set) var pendingBytes = 0
    private var pendingEvents = 0
    /// Bytes of each sender that has any in the queue.
    private var pendingBySender: [Int64: Int] = [:]

    init(limits: BatchLimits) {
        self.limits = limits
    }

    var isEmpty: Bool { queue.isEmpty }

    /// Whether a batch of what has queued is worth writing beside another one.
    var isWorthParallelWrite: Bool {
        pendingEvents >= limits.parallelEventsMin || pendingBytes >= limits.parallelBytesMin
    }

    /// Whether another item of `bytes` finds room; one always does in an empty queue, whatever its size.
    ///
    /// A sender with a name may hold no more than what is left free, so that one that floods the queue gets
    /// half of it, two a third each, and there is always room for who comes next (Choudhury and Hahne,
    /// "Dynamic queue length thresholds for shared-memory packet switches", 1998).
    func hasRoom(for bytes: Int, sender: Int64? = nil) -> Bool {
        if queue.isEmpty { return true }
        let free = limits.pendingBytesMax - pendingBytes
        guard let sender, let held = pendingBySender[sender] else { return bytes <= free }
        return held + bytes <= free
    }

    /// Adds an item; one that `isAlone` shares its flush with no other.
    mutating func add(_ item: Item, events: Int, bytes: Int, sender: Int64? = nil, isAlone: Bool = false) {
        queue.append(Entry(item: item, sender: sender, events: events, bytes: bytes, isAlone: isAlone))
        pendingBytes += bytes
        pendingEvents += events
        if let sender { pendingBySender[sender, default: 0] += bytes }
    }

    /// Takes the next flush: at least one item, and as many as fit the limits.
    mutating func takeBatch() -> [Item] {
        var batch: [Item] = []
        var events = 0
        var bytes = 0
        while let next = queue.first {
            let fits = events + next.events <= limits.eventsMax && bytes + next.bytes <= limits.bytesMax
            if !batch.isEmpty, !fits || next.isAlone { break }
            queue.removeFirst()
            batch.append(next.item)
            events += next.events
            bytes += next.bytes
            pendingBytes -= next.bytes
            pendingEvents -= next.events
            release(next)
            if next.isAlone { break }
        }
        return batch
    }

    private mutating func release(_ entry: Entry) {
        guard let sender = entry.sender, let held = pendingBySender[sender] else { return }
        pendingBySender[sender] = held > entry.bytes ? held - entry.bytes : nil
    }
}
