import Reactor
import TestSupport
import Testing

@testable import Server

@Suite struct `Token bucket` {
    private let start = Deadline.now()

    private func admits(_ bucket: inout TokenBucket, _ now: Deadline) -> Bool { bucket.admits(now: now) }

    private func after(_ milliseconds: Int) -> Deadline { start.advanced(by: .milliseconds(milliseconds)) }

    @Test func `holds a second's worth at least, and the burst`() {
        #expect(TokenBucket(rate: 10, burst: 0, now: start).remaining == 10)
        #expect(TokenBucket(rate: 10, burst: 500, now: start).remaining == 500)
        #expect(TokenBucket(rate: 0.01, burst: 0, now: start).remaining == 1)
    }

    @Test func `lets a large batch in, and the next when its debt is paid`() {
        var bucket = TokenBucket(rate: 10, burst: 0, now: start)
        #expect(admits(&bucket, start))
        bucket.take(60, now: start)
        #expect(bucket.remaining == 0)
        #expect(bucket.wait > .milliseconds(5_099) && bucket.wait < .milliseconds(5_101))
        #expect(!admits(&bucket, after(5_099)))
        #expect(admits(&bucket, after(5_101)))
    }

    @Test func `never holds more than its capacity, nor fills when the clock stands still or goes back`() {
        var bucket = TokenBucket(rate: 10, burst: 20, now: start)
        _ = bucket.admits(now: after(1_000_000))
        #expect(bucket.remaining == 20)
        bucket.take(20, now: after(1_000_000))
        #expect(!admits(&bucket, after(0)))
    }

    @Test func `keeps what has been used when its rate changes`() {
        var bucket = TokenBucket(rate: 10, burst: 0, now: start)
        bucket.take(10, now: start)
        bucket.change(rate: 1_000, burst: 0, now: start)
        #expect(!admits(&bucket, start))
        #expect(admits(&bucket, after(2)))
    }

    /// Random walks: over any time no more comes in than the rate allows, the capacity and the last batch
    /// before it.
    @Test func `admits no more than rate and burst allow, whatever is asked when`() {
        for seed in 0..<200 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            let rate = Double.random(in: 1...1_000, using: &random)
            let burst = Int.random(in: 0...2_000, using: &random)
            var bucket = TokenBucket(rate: rate, burst: burst, now: start)
            let capacity = Double(bucket.limit)
            var (now, taken, last) = (0, 0, 0)
            for _ in 0..<300 {
                now += Int.random(in: 0...50, using: &random)
                guard bucket.admits(now: after(now)) else { continue }
                last = Int.random(in: 1...500, using: &random)
                bucket.take(last, now: after(now))
                taken += last
                let allowed = capacity + 1 + rate * Double(now) / 1_000 + Double(last)
                #expect(Double(taken) <= allowed, "seed \(seed)")
            }
        }
    }
}
