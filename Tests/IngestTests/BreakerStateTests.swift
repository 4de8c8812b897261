import Reactor
import TestSupport
import Testing

@testable import Ingest

@Suite struct `Breaker state` {
    private static func at(_ milliseconds: UInt64) -> Deadline {
        Deadline(nanoseconds: milliseconds * 1_000_000)
    }

    @Test func `lets everything through while nothing fails`() {
        var state = BreakerState(limits: BreakerLimits(), seed: 1)
        state.stored()
        #expect(state.isClosed && state.nextProbe == nil)
        let began = state.beginProbe(at: Self.at(1_000_000))
        #expect(!began)
    }

    @Test func `opens at the first failure and closes after a probe that succeeds`() throws {
        var state = BreakerState(limits: BreakerLimits(), seed: 1)
        state.failed(at: Self.at(1_000))
        #expect(!state.isClosed)
        let due = try #require(state.nextProbe)
        #expect(due >= Self.at(1_050) && due <= Self.at(1_100))

        let early = state.beginProbe(at: Deadline(nanoseconds: due.nanoseconds - 1))
        let punctual = state.beginProbe(at: due)
        #expect(!early && punctual)
        #expect(!state.isClosed, "half-open, only the probe is sent")
        let another = state.beginProbe(at: due)
        #expect(!another, "one probe at a time")
        state.probeSucceeded()
        #expect(state.isClosed)
    }

    @Test func `waits longer after each probe that fails, up to a limit`() throws {
        var state = BreakerState(limits: BreakerLimits(), seed: 1)
        var now = Self.at(0)
        state.failed(at: now)
        for whole: UInt64 in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000] {
            let due = try #require(state.nextProbe)
            let pause = (due.nanoseconds - now.nanoseconds) / 1_000_000
            #expect(pause >= whole / 2 && pause <= whole)
            now = due
            let began = state.beginProbe(at: now)
            #expect(began)
            state.probeFailed(at: now)
        }
    }

    /// A database that answers and takes nothing is not asked ever more often.
    @Test func `forgets its failures when a flush is stored, not when a probe succeeds`() throws {
        var state = BreakerState(limits: BreakerLimits(), seed: 1)
        for round in 1...4 {
            state.failed(at: Self.at(0))
            #expect(state.failures == round)
            let due = try #require(state.nextProbe)
            let began = state.beginProbe(at: due)
            #expect(began)
            state.probeSucceeded()
        }
        state.stored()
        #expect(state.failures == 0)
    }

    @Test func `does not mind those who say late what is known`() throws {
        var state = BreakerState(limits: BreakerLimits(), seed: 1)
        state.failed(at: Self.at(0))
        let due = try #require(state.nextProbe)
        state.failed(at: Self.at(50))
        state.stored()
        #expect(state.nextProbe == due && state.failures == 1)
        let began = state.beginProbe(at: due)
        #expect(began)
        state.failed(at: due)
        state.stored()
        #expect(state.phase == .probing && state.failures == 1)
    }

    @Test func `begins open, with a probe due, where the database was never met`() {
        var state = BreakerState(limits: BreakerLimits(), isOpen: true, seed: 1)
        #expect(!state.isClosed)
        let began = state.beginProbe(at: .now())
        #expect(began)
    }

    @Test func `always comes back, and never sends anything but one probe while it is open`() {
        for seed in UInt64(0)..<300 {
            var random = SplitMix(seed: seed)
            var state = BreakerState(limits: BreakerLimits(), isOpen: Bool.random(using: &random), seed: seed)
            var now = Self.at(1)
            var probes = 0
            for _ in 0..<200 {
                now = now.advanced(by: .milliseconds(Int.random(in: 0...500, using: &random)))
                switch Int.random(in: 0..<5, using: &random) {
                case 0: state.failed(at: now)
                case 1: state.stored()
                case 2: if state.beginProbe(at: now) { probes += 1 }
                case 3 where probes == 1:
                    probes = 0
                    state.probeFailed(at: now)
                case 4 where probes == 1:
                    probes = 0
                    state.probeSucceeded()
                    #expect(state.isClosed, "seed \(seed)")
                default: break
                }
                #expect(probes == (state.phase == .probing ? 1 : 0), "seed \(seed)")
                if let due = state.nextProbe {
                    #expect(due <= now.advanced(by: BreakerLimits().pauseMax), "seed \(seed)")
                }
            }
            if state.phase == .probing { state.probeFailed(at: now) }
            if let due = state.nextProbe {
                let began = state.beginProbe(at: due)
                #expect(began, "seed \(seed)")
                state.probeSucceeded()
            }
            #expect(state.isClosed, "seed \(seed)")
        }
    }
}
