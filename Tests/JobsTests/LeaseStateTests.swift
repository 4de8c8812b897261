import Jobs
import TestSupport
import Testing

@Suite struct `Lease state` {
    private static let limits = LeaseLimits()

    @Test func `lets a node bury others only after a TTL of its own beats`() {
        var state = LeaseState(limits: Self.limits, now: .zero)
        #expect(!state.mayReap(now: .zero))
        state.beatArrived(now: .seconds(5))
        state.beatArrived(now: .seconds(10))
        #expect(!state.mayReap(now: .seconds(10)))
        state.beatArrived(now: .seconds(15))
        #expect(state.mayReap(now: .seconds(15)))
        #expect(!state.mayReap(now: .seconds(26)), "its own beats are overdue")
    }

    @Test func `starts over after a beat that failed or came late`() {
        for failed in [true, false] {
            var state = LeaseState(limits: Self.limits, now: .zero)
            for second in stride(from: 5, through: 20, by: 5) { state.beatArrived(now: .seconds(second)) }
            #expect(state.mayReap(now: .seconds(20)))
            if failed { state.beatFailed(now: .seconds(25)) }
            state.beatArrived(now: .seconds(failed ? 26 : 31))
            #expect(!state.mayReap(now: .seconds(31)))
        }
    }

    @Test func `is fenced once and for all`() {
        var state = LeaseState(limits: Self.limits, now: .zero)
        #expect(state.beatFoundNothing() == true)
        #expect(state.beatFoundNothing() == false)
        state.beatArrived(now: .seconds(5))
        state.beatFailed(now: .seconds(6))
        #expect(state.phase == .fenced)
        #expect(state.nextBeat == nil)
        #expect(state.leave() == false)
    }

    /// Random walks against the whole history: may reap exactly when every beat of the last TTL arrived in
    /// time.
    @Test func `never forgets a gap`() {
        for seed in 0..<300 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            var state = LeaseState(limits: Self.limits, now: .zero)
            var now = Duration.zero
            var arrivals = [now]
            for _ in 0..<200 {
                now += .milliseconds(
                    Int.random(in: 100...(random.next() % 8 == 0 ? 14_000 : 6_000), using: &random)
                )
                if random.next() % 6 == 0 {
                    state.beatFailed(now: now)
                    arrivals = []
                } else {
                    if let last = arrivals.last, now - last > Self.limits.gapMax { arrivals = [] }
                    arrivals.append(now)
                    state.beatArrived(now: now)
                }
                let isSteady = arrivals.last.map { $0 - arrivals[0] >= Self.limits.ttl } ?? false
                #expect(state.mayReap(now: now) == isSteady, "seed \(seed) at \(now)")
                #expect(state.nextBeat.map { $0 > now } == true, "seed \(seed)")
            }
        }
    }

    /// Two nodes and a database that stalls and vanishes: whoever may reap finds no living node expired.
    @Test func `holds nobody for dead after an outage`() {
        for seed in 0..<300 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            // Not in step: the one beats while the other still waits for its turn.
            var rows = [Duration.zero, .milliseconds(Int.random(in: 0..<5_000, using: &random))]
            var states = rows.map { LeaseState(limits: Self.limits, now: $0) }
            var outage = Duration.seconds(20)..<Duration.seconds(20)
            for millisecond in stride(from: 0, to: 600_000, by: 100) {
                let now = Duration.milliseconds(millisecond)
                if now >= outage.upperBound, random.next() % 300 == 0 {
                    outage = now..<now + .milliseconds(Int.random(in: 1_000...60_000, using: &random))
                }
                for node in states.indices where states[node].nextBeat.map({ $0 <= now }) == true {
                    if outage.contains(now) {
                        // Its answer never comes; seen when the limit of one beat has passed.
                        states[node].beatFailed(now: now + Self.limits.answer)
                    } else {
                        rows[node] = now
                        states[node].beatArrived(now: now)
                    }
                }
                if outage.contains(now) { continue }
                for node in states.indices where states[node].mayReap(now: now) {
                    #expect(now - rows[1 - node] <= Self.limits.ttl, "seed \(seed) at \(now)")
                }
            }
        }
    }
}
