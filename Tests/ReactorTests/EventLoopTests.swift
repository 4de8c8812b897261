import Reactor
import Synchronization
import TestSupport
import Testing

/// An actor as the product has them: its executor is the loop, its tasks prefer it.
private actor Probe {
    let loop: EventLoop
    private(set) var log: [Int] = []

    init(_ loop: EventLoop) { self.loop = loop }

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    func note(_ value: Int) { log.append(value) }

    func isOnLoop() -> Bool { loop.isCurrent }

    /// Whether plain async code, child tasks and resumptions after a sleep all stay on the loop.
    func staysOnLoop() async -> [Bool] {
        var seen = [loop.isCurrent]
        await loop.sleep(for: .microseconds(1))
        seen.append(loop.isCurrent)
        let task = Task(executorPreference: loop) { await self.helper() }
        seen.append(await task.value)
        seen.append(await helper())
        return seen
    }

    private func helper() async -> Bool {
        await Task.yield()
        return loop.isCurrent
    }
}

private final class Flag: Sendable {
    let isSet = Atomic<Bool>(false)
}

@Suite(.timeLimit(.minutes(1))) struct `Event loop` {
    @Test func `runs its actors and their tasks on its one thread`() async throws {
        let loop = try EventLoop(name: "test")
        defer { loop.stop() }

        let seen = await Probe(loop).staysOnLoop()

        #expect(seen == [true, true, true, true])
        #expect(!loop.isCurrent)
    }

    @Test func `is one thread each, and they are different`() async throws {
        let loops = [try EventLoop(name: "a"), try EventLoop(name: "b")]
        defer { for loop in loops { loop.stop() } }

        for loop in loops {
            let others = loops.filter { $0 !== loop }
            let probe = OnLoop(loop)
            #expect(try await probe.run { loop.isCurrent && others.allSatisfy { !$0.isCurrent } })
        }
    }

    @Test func `lets others go first when work asks it to`() async throws {
        let loop = try EventLoop(name: "test")
        defer { loop.stop() }
        let others = Flag()
        try await OnLoop(loop).run {
            // Work that never waits would keep a timer from ever being looked at.
            let timer = Task(executorPreference: loop) {
                await loop.sleep(for: .milliseconds(1))
                others.isSet.store(true, ordering: .relaxed)
            }
            while !others.isSet.load(ordering: .relaxed) { await loop.nextTurn() }
            await timer.value
        }
        let isSet = others.isSet.load(ordering: .relaxed)
        #expect(isSet)
    }

    @Test func `runs posted work in order`() async throws {
        let loop = try EventLoop(name: "test")
        defer { loop.stop() }
        let probe = Probe(loop)

        for value in 0..<1000 {
            loop.post { probe.assumeIsolated { probe in MainActorFree.note(probe, value) } }
        }

        #expect(await probe.log == Array(0..<1000))
    }

    /// A task that yields lets other tasks run, but not the kernel; one that waits for a turn lets both.
    @Test func `has looked at its sockets when a task has waited for its next turn`() async throws {
        try await withLoop { loop in
            var seen: [Bool] = []
            for _ in 0..<3 {
                var pipe: (read: ByteStream, write: ByteStream)?
                try Pipe().split { read, write in
                    pipe = (try ByteStream(read, on: loop), try ByteStream(write, on: loop))
                }
                let ends = try #require(pipe)
                defer {
                    ends.read.close()
                    ends.write.close()
                }
                var buffer = ReadBuffer(capacity: 8)
                #expect(try ends.read.tryRead(into: &buffer, atMost: 8) == .wouldBlock)
                _ = try ends.write.tryWrite([1])
                await Task.yield()
                #expect(!ends.read.isReadable)
                await loop.nextTurn()
                seen.append(ends.read.isReadable)
            }
            #expect(seen == [true, true, true])
        }
    }

    @Test func `wakes sleepers in the order of their deadlines`() async throws {
        let loop = try EventLoop(name: "test")
        defer { loop.stop() }
        let probe = Probe(loop)

        try await OnLoop(loop).run {
            let start = Deadline.now()
            // They all fall asleep in this turn, so that nothing but their deadlines decides.
            let sleepers = [3, 1, 2, 0].map { value in
                Task(executorPreference: loop) {
                    await loop.sleep(until: start.advanced(by: .milliseconds(20 * value)))
                    await probe.note(value)
                }
            }
            for sleeper in sleepers { await sleeper.value }
        }

        #expect(await probe.log == [0, 1, 2, 3])
    }

    @Test func `ends a sleep when its task is cancelled`() async throws {
        let loop = try EventLoop(name: "test")
        defer { loop.stop() }

        let sleeper = Task { try await OnLoop(loop).run { await loop.sleep(until: .never) } }
        sleeper.cancel()

        _ = await sleeper.result
    }

    @Test func `keeps sockets served while tasks wake each other without end`() async throws {
        try await withLoop { loop in
            let pipe = try Reactor.Pipe()
            let busy = Task(executorPreference: loop) { while !Task.isCancelled { await Task.yield() } }
            let (reader, writer) = try streams(of: pipe, on: loop)
            defer { reader.close(); writer.close() }

            try await writer.write([1, 2, 3], deadline: .never)
            var buffer = ReadBuffer(capacity: 16)
            let count = try await reader.read(into: &buffer, atMost: 16, deadline: .never)

            busy.cancel()
            #expect(count == 3)
        }
    }
}

private enum MainActorFree {
    static func note(_ probe: isolated Probe, _ value: Int) { probe.note(value) }
}

func streams(
    of pipe: consuming Reactor.Pipe,
    on loop: EventLoop
) throws -> (read: ByteStream, write: ByteStream) {
    var ends: (ByteStream, ByteStream)?
    try pipe.split { read, write in
        ends = (try ByteStream(read, on: loop), try ByteStream(write, on: loop))
    }
    return try #require(ends)
}
