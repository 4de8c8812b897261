import TestSupport
import Testing

@testable import Ingest

@Suite struct `Batch state` {
    private static func limits(events: Int = 10, bytes: Int = 1_000, pending: Int = 3_000) -> BatchLimits {
        var limits = BatchLimits()
        limits.eventsMax = events
        limits.bytesMax = bytes
        limits.pendingBytesMax = pending
        return limits
    }

    @Test func `takes all that has queued while it fits one flush`() {
        var state = BatchState<Int>(limits: Self.limits())
        for item in 1...3 { state.add(item, events: 2, bytes: 100) }

        #expect(state.takeBatch() == [1, 2, 3])
        #expect(state.isEmpty && state.pendingBytes == 0)
    }

    @Test func `leaves what would make a flush too large for the next one`() {
        var state = BatchState<Int>(limits: Self.limits())
        state.add(1, events: 6, bytes: 1)
        state.add(2, events: 5, bytes: 2)
        state.add(3, events: 1, bytes: 999)
        state.add(4, events: 1, bytes: 1)

        #expect(state.takeBatch() == [1])
        #expect(state.takeBatch() == [2])
        #expect(state.takeBatch() == [3, 4])
    }

    @Test func `takes an item that is larger than a flush alone`() {
        var state = BatchState<Int>(limits: Self.limits())
        state.add(1, events: 100, bytes: 5_000)
        state.add(2, events: 1, bytes: 1)

        #expect(state.takeBatch() == [1])
        #expect(state.takeBatch() == [2])
    }

    @Test func `takes an item that shares its flush with no other alone`() {
        var state = BatchState<Int>(limits: Self.limits())
        state.add(1, events: 1, bytes: 1)
        state.add(2, events: 1, bytes: 1, isAlone: true)
        state.add(3, events: 1, bytes: 1)
        state.add(4, events: 1, bytes: 1)

        #expect(state.takeBatch() == [1])
        #expect(state.takeBatch() == [2])
        #expect(state.takeBatch() == [3, 4])
    }

    @Test func `has room until the pending bytes are used up, and always when empty`() {
        var state = BatchState<Int>(limits: Self.limits())
        #expect(state.hasRoom(for: 1_000_000))
        state.add(1, events: 1, bytes: 2_999)

        #expect(state.hasRoom(for: 1))
        #expect(!state.hasRoom(for: 2))
    }

    @Test func `is worth a parallel write once enough events or bytes have queued`() {
        var limits = Self.limits()
        (limits.parallelEventsMin, limits.parallelBytesMin) = (3, 100)
        var state = BatchState<Int>(limits: limits)
        state.add(1, events: 2, bytes: 99)
        #expect(!state.isWorthParallelWrite)
        state.add(2, events: 1, bytes: 0)
        #expect(state.isWorthParallelWrite)

        _ = state.takeBatch()
        #expect(!state.isWorthParallelWrite)
        state.add(3, events: 0, bytes: 100)
        #expect(state.isWorthParallelWrite)
    }

    @Test func `leaves room for others beside a sender that floods it`() {
        var state = BatchState<Int>(limits: Self.limits())
        var refusedAt = 0
        while state.hasRoom(for: 100, sender: 1), refusedAt < 100 {
            state.add(refusedAt, events: 1, bytes: 100, sender: 1)
            refusedAt += 1
        }
        // Half of the 3,000 bytes that it holds at most.
        #expect(refusedAt == 15)
        #expect(state.hasRoom(for: 1_000, sender: 2))
        #expect(state.hasRoom(for: 1_500), "who has no key is not held to a share")

        state.add(100, events: 1, bytes: 1_000, sender: 2)
        #expect(!state.hasRoom(for: 1, sender: 2) && state.hasRoom(for: 500, sender: 3))
        while !state.isEmpty { _ = state.takeBatch() }
        state.add(0, events: 1, bytes: 1, sender: 3)
        #expect(state.hasRoom(for: 1_400, sender: 1), "what has been taken is given back")
    }

    /// Random walks: no item is lost, doubled or reordered, and each flush is as large as the limits let it
    /// be.
    @Test func `keeps every item once and in order, within the limits`() {
        for seed in 0..<300 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            let limits = Self.limits(
                events: .random(in: 1...20, using: &random),
                bytes: .random(in: 1...500, using: &random)
            )
            var state = BatchState<Int>(limits: limits)
            var sizes: [(events: Int, bytes: Int)] = []
            var taken: [Int] = []
            for _ in 0..<400 {
                if Bool.random(using: &random) {
                    let size = (
                        events: Int.random(in: 0...9, using: &random),
                        bytes: Int.random(in: 1...200, using: &random)
                    )
                    if !state.hasRoom(for: size.bytes) { continue }
                    state.add(sizes.count, events: size.events, bytes: size.bytes)
                    sizes.append(size)
                } else {
                    let batch = state.takeBatch()
                    let events = batch.reduce(0) { $0 + sizes[$1].events }
                    let bytes = batch.reduce(0) { $0 + sizes[$1].bytes }
                    #expect(
                        batch.count <= 1 || events <= limits.eventsMax && bytes <= limits.bytesMax,
                        "seed \(seed)"
                    )
                    if let next = batch.last.map({ $0 + 1 }), next < sizes.count {
                        let isFull =
                            events + sizes[next].events > limits.eventsMax
                            || bytes + sizes[next].bytes > limits.bytesMax
                        #expect(isFull, "seed \(seed)")
                    }
                    taken += batch
                }
                let pending = sizes[taken.count...].reduce(0) { $0 + $1.bytes }
                #expect(state.pendingBytes == pending, "seed \(seed)")
                #expect(pending <= limits.pendingBytesMax, "seed \(seed)")
            }
            while !state.isEmpty { taken += state.takeBatch() }
            #expect(taken == Array(sizes.indices), "seed \(seed)")
        }
    }
}
