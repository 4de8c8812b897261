import TestSupport
import Testing

@testable import Jobs

@Suite struct `Event ranges` {
    private func batch(_ lo: Int64, _ hi: Int64) -> EventBatch {
        EventBatch(lines: (lo..<hi).flatMap { Array("\($0)\n".utf8) })
    }

    @Test func `give back whole flushes that cover a job exactly`() {
        var ranges = EventRanges(limits: EventCacheLimits())
        #expect(ranges.store(stream: 1, lo: 0, hi: 3, batch: batch(0, 3), now: .zero) == true)
        #expect(ranges.store(stream: 1, lo: 3, hi: 5, batch: batch(3, 5), now: .zero) == true)
        #expect(ranges.store(stream: 2, lo: 0, hi: 5, batch: batch(0, 5), now: .zero) == true)
        #expect(ranges.take(stream: 1, lo: 0, hi: 5) == batch(0, 5))
        #expect(ranges.take(stream: 1, lo: 0, hi: 5) == nil, "taken is taken")
        #expect(ranges.take(stream: 2, lo: 0, hi: 4) == nil, "a part of a flush is not known")
        #expect(ranges.take(stream: 2, lo: 0, hi: 5) == batch(0, 5))
        #expect(ranges.bytes == 0)
    }

    @Test func `count lines, and end the last one`() {
        #expect(EventBatch(lines: Array("a\nb".utf8)) == EventBatch(lines: Array("a\nb\n".utf8), items: 2))
        #expect(EventBatch(lines: []).items == 0)
    }

    @Test func `make room for new events by dropping what nobody came for`() {
        var limits = EventCacheLimits()
        limits.bytesMax = 2 * (EventRanges.flushBytes + 2)
        limits.age = .seconds(60)
        var ranges = EventRanges(limits: limits)
        #expect(ranges.store(stream: 1, lo: 0, hi: 1, batch: batch(0, 1), now: .zero) == true)
        #expect(ranges.store(stream: 1, lo: 1, hi: 2, batch: batch(1, 2), now: .seconds(30)) == true)
        #expect(ranges.store(stream: 1, lo: 2, hi: 3, batch: batch(2, 3), now: .seconds(31)) == false)
        #expect(ranges.store(stream: 1, lo: 3, hi: 4, batch: batch(3, 4), now: .seconds(61)) == true)
        #expect(ranges.take(stream: 1, lo: 0, hi: 1) == nil)
        #expect(ranges.take(stream: 1, lo: 1, hi: 4) == nil, "a flush in the middle was dropped")
        #expect(ranges.bytes == 0)
    }

    /// Against a model that knows which numbers are held: what comes back is complete and in order, or
    /// nothing.
    @Test func `behave as a model does on random walks`() {
        for seed in 0..<200 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            var limits = EventCacheLimits()
            limits.bytesMax = 2_500
            limits.age = .seconds(20)
            var ranges = EventRanges(limits: limits)
            var next: [Int64: Int64] = [:]
            var held: [Int64: [(lo: Int64, hi: Int64)]] = [:]
            var cuts: [(stream: Int64, lo: Int64, hi: Int64)] = []
            var cutStart: [Int64: Int64] = [:]
            for step in 0..<300 {
                let now = Duration.seconds(step)
                let stream = Int64.random(in: 0..<3, using: &random)
                if random.next() % 3 > 0 {
                    let lo = next[stream, default: 0]
                    let hi = lo + Int64.random(in: 0...6, using: &random)
                    next[stream] = hi
                    if ranges.store(stream: stream, lo: lo, hi: hi, batch: batch(lo, hi), now: now) {
                        held[stream, default: []].append((lo, hi))
                    }
                    if random.next() % 2 == 0 {
                        cuts.append((stream, cutStart[stream, default: 0], hi))
                        cutStart[stream] = hi
                    }
                } else if !cuts.isEmpty {
                    let cut = cuts.remove(at: Int.random(in: 0..<cuts.count, using: &random))
                    let within = held[cut.stream, default: []].filter { $0.lo >= cut.lo && $0.hi <= cut.hi }
                    let covered = within.reduce(0) { $0 + $1.hi - $1.lo }
                    let taken = ranges.take(stream: cut.stream, lo: cut.lo, hi: cut.hi)
                    if let taken {
                        #expect(taken == batch(cut.lo, cut.hi), "seed \(seed)")
                        #expect(covered == cut.hi - cut.lo, "seed \(seed)")
                    }
                    held[cut.stream]?.removeAll { $0.lo >= cut.lo && $0.hi <= cut.hi }
                }
                #expect(ranges.bytes <= limits.bytesMax, "seed \(seed)")
            }
            for cut in cuts { _ = ranges.take(stream: cut.stream, lo: cut.lo, hi: cut.hi) }
            for (stream, end) in next where end > cutStart[stream, default: 0] {
                _ = ranges.take(stream: stream, lo: cutStart[stream, default: 0], hi: end)
            }
            #expect(ranges.bytes == 0, "seed \(seed)")
        }
    }
}
