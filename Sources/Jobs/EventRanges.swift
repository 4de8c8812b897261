import DequeModule

/// Lines of events and how many they are.
package struct EventBatch: Equatable, Sendable {
    /// NDJSON as workers read it, each line with its line feed.
    package var lines: [UInt8]
    package var items: Int

    /// Counts the lines; the last may lack its line feed, and gets one.
    package init(lines: [UInt8]) {
        self.lines = lines
        if let last = lines.last, last != UInt8(ascii: "\n") { self.lines.append(UInt8(ascii: "\n")) }
        items = 0
        for byte in self.lines where byte == UInt8(ascii: "\n") { items += 1 }
    }

    /// Lines that were counted before.
    package init(lines: [UInt8], items: Int) {
        self.lines = lines
        self.items = items
    }
}

/// Decides which events stay in memory until their job runs: those of whole flushes, by stream and sequence
/// numbers.
///
/// Holds no clock and no lock; ``EventCache`` does. A stream's flushes come in the order of their numbers.
struct EventRanges: Sendable {
    private struct Flush: Sendable {
        let lo: Int64
        let hi: Int64
        let storedAt: Duration
        let batch: EventBatch

        var bytes: Int { batch.lines.count + EventRanges.flushBytes }
    }

    /// What a flush takes besides its lines, roughly.
    static let flushBytes = 128

    private let limits: EventCacheLimits
    private var streams: [Int64: Deque<Flush>] = [:]
    private(set) var bytes = 0

    init(limits: EventCacheLimits) { self.limits = limits }

    /// Keeps the events of a flush that used the numbers `lo..<hi`; `false` when there is no room for them.
    mutating func store(stream: Int64, lo: Int64, hi: Int64, batch: EventBatch, now: Duration) -> Bool {
        guard lo < hi, (streams[stream]?.last?.hi ?? .min) <= lo else { return false }
        let flush = Flush(lo: lo, hi: hi, storedAt: now, batch: batch)
        if bytes + flush.bytes > limits.bytesMax { forgetOld(now: now) }
        if bytes + flush.bytes > limits.bytesMax { return false }
        bytes += flush.bytes
        streams[stream, default: []].append(flush)
        return true
    }

    /// Removes all that lies in `lo..<hi` and returns it, in order; `nil` unless whole flushes cover exactly
    /// that.
    mutating func take(stream: Int64, lo: Int64, hi: Int64) -> EventBatch? {
        guard var flushes = streams[stream], lo < hi else { return nil }
        guard let first = flushes.firstIndex(where: { $0.hi > lo }) else { return nil }
        let end = flushes[first...].firstIndex { $0.lo >= hi } ?? flushes.endIndex
        guard first < end else { return nil }
        let taken = Array(flushes[first..<end])
        // A flush that lies across a border belongs to other jobs as well; none does as long as cuts end
        // flushes.
        let isExact =
            taken.first?.lo == lo && taken.last?.hi == hi
            && zip(taken, taken.dropFirst()).allSatisfy { $0.hi == $1.lo }
        let within = taken.filter { $0.lo >= lo && $0.hi <= hi }
        flushes.replaceSubrange(first..<end, with: taken.filter { $0.lo < lo || $0.hi > hi })
        streams[stream] = flushes.isEmpty ? nil : flushes
        for flush in within { bytes -= flush.bytes }
        return isExact ? Self.join(taken) : nil
    }

    private static func join(_ flushes: [Flush]) -> EventBatch {
        if flushes.count == 1 { return flushes[0].batch }
        var lines: [UInt8] = []
        lines.reserveCapacity(flushes.reduce(0) { $0 + $1.batch.lines.count })
        for flush in flushes { lines += flush.batch.lines }
        return EventBatch(lines: lines, items: flushes.reduce(0) { $0 + $1.batch.items })
    }

    private mutating func forgetOld(now: Duration) {
        for (stream, flushes) in streams {
            let old = flushes.prefix { now - $0.storedAt > limits.age }
            if old.isEmpty { continue }
            for flush in old { bytes -= flush.bytes }
            let kept = flushes.dropFirst(old.count)
            streams[stream] = kept.isEmpty ? nil : Deque(kept)
        }
    }
}
