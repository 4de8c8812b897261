import TestSupport
import Testing

@testable import Reactor

@Suite struct `Timer queue` {
    @Test func `returns tokens by deadline, the first added first among equals`() {
        for seed in 0..<50 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            var queue = TimerQueue<Int>()
            var model: [(deadline: UInt64, token: Int)] = []
            var now: UInt64 = 0
            for token in 0..<300 {
                let deadline = now + random.next() % 40
                queue.add(token, at: Deadline(nanoseconds: deadline))
                model.append((deadline, token))
                now += random.next() % 10
                while let popped = queue.popExpired(at: Deadline(nanoseconds: now)) {
                    let expected = model.min { ($0.deadline, $0.token) < ($1.deadline, $1.token) }
                    #expect(popped.token == expected?.token, "seed \(seed)")
                    model.removeAll { $0.token == popped.token }
                }
                #expect(!model.contains { $0.deadline <= now }, "seed \(seed)")
            }
        }
    }
}

@Suite struct `Deadline arithmetic` {
    @Test func `saturates and never goes back`() {
        let start = Deadline(nanoseconds: 5)
        #expect(start.advanced(by: .seconds(Int64.max)) == .never)
        #expect(start.advanced(by: .seconds(-1)) == start)
        #expect(Deadline.never.advanced(by: .seconds(1)) == .never)
        #expect(start.advanced(by: .milliseconds(1500)).nanoseconds == 1_500_000_005)
        #expect(start.duration(since: start.advanced(by: .seconds(1))) == .zero)
    }
}
