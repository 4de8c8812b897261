import Reactor
import TestSupport
import Testing

@testable import Insight

@Suite struct `Rates` {
    private func at(_ seconds: Double) -> Deadline {
        Deadline(nanoseconds: UInt64((1_000 + seconds) * 1_000_000_000))
    }

    @Test func `are nothing before the second sample`() {
        var ring = RateRing(countMax: 10)
        #expect(ring.rate(over: .seconds(1), at: at(0)) == nil)
        ring.add(100, at: at(0))
        #expect(ring.rate(over: .seconds(60), at: at(0)) == nil)
    }

    @Test func `look back as far as their window, or as there are samples`() {
        var ring = RateRing(countMax: 900)
        // 10 a second for 100 seconds, then 100 a second for 30.
        var total: Int64 = 0
        for second in 0...130 {
            ring.add(total, at: at(Double(second)))
            total += second < 100 ? 10 : 100
        }

        #expect(ring.rate(over: .seconds(1), at: at(130)) == 100)
        #expect(ring.rate(over: .seconds(60), at: at(130)) == Double(30 * 10 + 30 * 100) / 60)
        #expect(ring.rate(over: .seconds(300), at: at(130)) == Double(1_000 + 3_000) / 130)
    }

    @Test func `divide by the time that really passed`() {
        var ring = RateRing(countMax: 10)
        ring.add(0, at: at(0))
        ring.add(300, at: at(1.2))
        #expect(ring.rate(over: .seconds(1), at: at(1.2)) == 250)
        // A sample that came early: the one before it is taken, not two.
        ring.add(460, at: at(2))
        #expect(ring.rate(over: .seconds(1), at: at(2)) == 200)
    }

    @Test func `count over a gap what came meanwhile, and are nothing while it lasts`() {
        var ring = RateRing(countMax: 900)
        for second in 0...10 { ring.add(Int64(second) * 5, at: at(Double(second))) }
        #expect(ring.rate(over: .seconds(60), at: at(40)) == nil)

        ring.add(1_050, at: at(60))

        #expect(ring.rate(over: .seconds(1), at: at(60)) == 20)
        #expect(ring.rate(over: .seconds(60), at: at(60)) == Double(1_050) / 60)
    }

    @Test func `begin anew when the total is another one's`() {
        var ring = RateRing(countMax: 10)
        ring.add(1_000, at: at(0))
        ring.add(2_000, at: at(1))
        ring.add(5, at: at(2))
        #expect(ring.count == 1)
        #expect(ring.rate(over: .seconds(1), at: at(2)) == nil)
        ring.add(7, at: at(3))
        #expect(ring.rate(over: .seconds(900), at: at(3)) == 2)
    }

    @Test func `stay right when the ring has gone round many times`() {
        for seed: UInt64 in 0..<20 {
            var random = SplitMix(seed: seed)
            var ring = RateRing(countMax: 7)
            var samples: [(total: Int64, time: Double)] = []
            var (total, time): (Int64, Double) = (0, 0)
            for _ in 0..<100 {
                total += Int64(random.next() % 1_000)
                time += 0.8 + Double(random.next() % 400) / 1_000
                ring.add(total, at: at(time))
                samples.append((total, time))
                samples = samples.suffix(7)
                guard samples.count > 1 else { continue }
                for window in [1.0, 3.0, 60.0] {
                    let base = samples.last { time - $0.time + 0.5 >= window } ?? samples[0]
                    let expected = Double(total - base.total) / (time - base.time)
                    let rate = ring.rate(over: .seconds(window), at: at(time)) ?? -1
                    #expect(abs(rate - expected) < 0.001 * max(1, expected), "seed \(seed), window \(window)")
                }
            }
        }
    }

    @Test func `of the last seconds have nothing where there was no sample`() {
        var ring = RateRing(countMax: 900)
        ring.add(0, at: at(0))
        ring.add(10, at: at(1))
        ring.add(30, at: at(2))
        ring.add(90, at: at(5))

        #expect(ring.recent(seconds: 8, at: at(5)) == [nil, nil, nil, 10, 20, 20, 20, 20])
        #expect(ring.recent(seconds: 2, at: at(6)) == [20, nil])
        #expect(RateRing(countMax: 2).recent(seconds: 3, at: at(0)) == [nil, nil, nil])
    }
}
