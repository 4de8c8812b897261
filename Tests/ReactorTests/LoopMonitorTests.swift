import Glibc
import Synchronization
import Testing

@testable import Reactor

/// Computes, or sleeps, until `isOver`, which a mistake could put off without end.
@inline(never)
private func takesItsTime(_ sleeps: Bool, until isOver: () -> Bool) {
    let patience = Deadline.after(.seconds(40))
    while !isOver(), Deadline.now() < patience {
        if sleeps { usleep(100_000) }
    }
}

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

    /// What holds the loop up is computing, or waiting in a library that keeps no frame pointers.
    @Test(arguments: [false, true]) func `shows which function holds the loop up`(waits: Bool) async throws {
        let loop = try EventLoop(name: "held")
        defer { loop.stop() }
        let backtraces = Mutex<[[String]]>([])
        let monitor = try LoopMonitor([loop], limit: .milliseconds(4)) { stall in
            if stall.label > 0 { backtraces.withLock { $0.append(stall.backtrace) } }
        }
        defer { monitor.stop() }

        await withCheckedContinuation { continuation in
            loop.post {
                takesItsTime(waits) {
                    let seen = backtraces.withLock { $0 }
                    // Each label has a report of its own: the thread sanitizer may keep a signal back and
                    // deliver it with the registers of before.
                    loop.mark(1 + seen.count)
                    return seen.contains { Self.shows("takesItsTime", calledIn: "EventLoop.run()", $0) }
                }
                continuation.resume()
            }
        }

        let seen = backtraces.withLock { $0 }
        #expect(seen.contains { Self.shows("takesItsTime", calledIn: "EventLoop.run()", $0) }, "\(seen)")
    }

    private static func shows(_ function: String, calledIn caller: String, _ backtrace: [String]) -> Bool {
        guard let place = backtrace.firstIndex(where: { $0.contains(function) }) else { return false }
        return backtrace[place...].dropFirst().contains { $0.contains(caller) }
    }

    @Test func `shows nothing of a thread that has ended`() throws {
        let loop = try EventLoop(name: "gone")
        let thread = try #require(loop.activity.thread.withLock { $0 })
        loop.stop()

        #expect(StackProbe.picture(of: thread, deadline: .after(.seconds(60))) == nil)
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
