import Glibc
import Reactor
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2))) struct `Loop monitor` {
    /// Holds its loop until `isOver`, which a mistake could put off without end.
    private static func hold(until isOver: () -> Bool) {
        let patience = Deadline.after(.seconds(40))
        while !isOver(), Deadline.now() < patience { sched_yield() }
    }

    @Test func `tells of a turn that does not end, whose it is, and once`() async throws {
        let loops = [try EventLoop(name: "fine"), try EventLoop(name: "held")]
        defer { for loop in loops { loop.stop() } }
        let stalls = Mutex<[LoopStall]>([])
        let limit = Duration.milliseconds(4)
        let monitor = try LoopMonitor(loops, limit: limit) { stall in stalls.withLock { $0.append(stall) } }
        defer { monitor.stop() }

        for label in [7, 8] {
            await withCheckedContinuation { continuation in
                loops[1].post {
                    loops[1].mark(label)
                    Self.hold { stalls.withLock { $0.contains { $0.label == label } } }
                    // Time enough to tell of it again.
                    let end = Deadline.after(limit * 10)
                    Self.hold { Deadline.now() > end }
                    continuation.resume()
                }
            }
        }

        let seen = stalls.withLock { $0 }.filter { $0.loop == 1 && $0.label > 0 }
        #expect(seen.map(\.label) == [7, 8])
        #expect(seen.allSatisfy { $0.lasted >= limit })
    }

    @Test func `is told how long each turn takes`() async throws {
        let loop = try EventLoop(name: "test")
        defer { loop.stop() }
        let longest = Mutex(Duration.zero)
        loop.observeTurns { turn in longest.withLock { $0 = max($0, turn) } }
        let began = Deadline.now()
        let held = Mutex(Duration.zero)
        await withCheckedContinuation { continuation in
            loop.post {
                let start = Deadline.now()
                Self.hold { Deadline.now().duration(since: start) >= .milliseconds(5) }
                held.withLock { $0 = Deadline.now().duration(since: start) }
                continuation.resume()
            }
        }
        Self.hold { longest.withLock { $0 } >= held.withLock { $0 } }
        let (turn, all) = (longest.withLock { $0 }, Deadline.now().duration(since: began))
        #expect(turn >= held.withLock { $0 })
        #expect(turn <= all)
    }
}
