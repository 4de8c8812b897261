import Reactor
import TestSupport
import Testing

@testable import Postgres

@Suite struct `Connection machine` {
    private static func make(seed: UInt64 = 1) -> ConnectionMachine {
        ConnectionMachine(backoffMin: .milliseconds(100), backoffMax: .seconds(5), seed: seed)
    }

    private static let start = Deadline(nanoseconds: 1_000_000_000)

    @Test func `lets a new connection be attempted at once`() {
        var machine = Self.make()

        #expect(machine.action(at: Self.start) == .connect)
        let (began, connected) = (machine.begin(), machine.connected())
        #expect(began && connected)
        #expect(machine.action(at: Self.start) == .useSession)
    }

    @Test func `replaces a session that had worked without a pause, but only once`() {
        var machine = Self.make()
        _ = machine.begin()
        _ = machine.connected()
        _ = machine.started()
        machine.finished()

        machine.lost(at: Self.start)
        #expect(machine.action(at: Self.start) == .connect)
        _ = machine.begin()
        _ = machine.connected()
        machine.lost(at: Self.start)
        #expect(machine.action(at: Self.start) != .connect)
    }

    @Test func `doubles its pauses from 100 ms to 5 s, less up to half`() {
        for seed in 0..<100 as Range<UInt64> {
            var machine = Self.make(seed: seed)
            for attempt in 0..<12 {
                _ = machine.begin()
                machine.lost(at: Self.start)
                guard case .wait(let until) = machine.action(at: Self.start) else {
                    Issue.record("seed \(seed): attempt \(attempt) has no pause")
                    return
                }
                let whole = min(Duration.milliseconds(100) * (1 << attempt), .seconds(5))
                let pause = until.duration(since: Self.start)
                #expect(pause <= whole && pause >= whole / 2, "seed \(seed), attempt \(attempt)")
            }
        }
    }

    @Test func `refuses everything once closed`() {
        var machine = Self.make()
        _ = machine.begin()
        machine.close()

        let connected = machine.connected()
        machine.lost(at: Self.start)
        let (began, started) = (machine.begin(), machine.started())

        #expect(!connected && !began && !started)
        #expect(machine.action(at: Self.start) == .refuse)
    }

    /// Whatever comes in whatever order: a query runs on a session only, failures never make it impatient,
    /// and it never sticks.
    @Test func `keeps its promises on random walks`() {
        for seed in 0..<500 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            var machine = Self.make(seed: seed)
            var now = Self.start
            for step in 0..<200 {
                let before = machine.state
                let holds: Bool
                switch random.next() % 6 {
                case 0: holds = machine.begin() == before.isWithoutSocket
                case 1: holds = machine.connected() == (before == .connecting)
                case 2: holds = machine.started() == (before == .ready)
                case 3:
                    machine.finished()
                    holds = before != .busy || machine.failures == 0
                case 4:
                    machine.lost(at: now)
                    holds = before != .connecting || machine.action(at: now) != .connect
                default:
                    now = now.advanced(by: .milliseconds(Int64(random.next() % 3_000)))
                    holds = true
                }
                let sticks = machine.action(at: now.advanced(by: .seconds(5)))
                #expect(holds, "seed \(seed), step \(step): \(before) became \(machine.state)")
                #expect(sticks == .connect || sticks == .useSession, "seed \(seed), step \(step)")
            }
        }
    }
}

extension ConnectionMachine.State {
    fileprivate var isWithoutSocket: Bool {
        switch self {
        case .disconnected, .backingOff: true
        case .connecting, .ready, .busy, .closed: false
        }
    }
}
