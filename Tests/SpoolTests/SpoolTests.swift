import Glibc
import Reactor
import Synchronization
import TestSupport
import Testing

@testable import Spool

@Suite(.timeLimit(.minutes(3))) struct `Open spool` {
    @Test func `gives back what was appended, in order, until it is drained`() async throws {
        let spool = try await TestSpool.threads().open(ModelDisk(seed: 1))
        let entries = (0..<20).map { TestSpool.entry($0) }
        for entry in entries { try await spool.append([entry]) }
        #expect(spool.facts.events == entries.reduce(0) { $0 + $1.events })

        let first = try #require(await spool.next(bytesMax: 500, eventsMax: 1_000))
        #expect(first.records.map(\.payload) == entries.prefix(5).map(\.payload))
        await spool.drained(to: first.to, events: first.events)
        let rest = await spool.readAll()
        #expect(rest.map(\.payload) == entries.dropFirst(5).map(\.payload))
        #expect(await spool.next(bytesMax: 1, eventsMax: 1) == nil)

        await spool.rewind(to: 0)
        #expect(await spool.readAll() == rest, "what is not drained is read again")
        await spool.drained(to: try #require(rest.last).sequence + 1, events: 0)
        #expect(spool.facts.events == 0)
        await spool.close()
    }

    @Test func `goes on where it was when it is opened again`() async throws {
        let threads = try TestSpool.threads()
        let disk = ModelDisk(seed: 1)
        let spool = try await threads.open(disk)
        for number in 0..<10 { try await spool.append([TestSpool.entry(number)]) }
        let batch = try #require(await spool.next(bytesMax: 300, eventsMax: 1_000))
        await spool.drained(to: batch.to, events: batch.events)
        let rest = await spool.readAll()
        await spool.close()

        let again = try await threads.open(disk.afterPowerLoss())
        #expect(again.identity == spool.identity)
        #expect(await again.readAll() == rest)
        try await again.append([TestSpool.entry(99)])
        let last = try #require(await again.readAll().last)
        #expect(last.sequence > rest.map(\.sequence).max() ?? .max, "no sequence is used again")
        await again.close()
    }

    /// The database knows more than the file when the process died between the commit and the file.
    @Test func `forgets what the database says that it has`() async throws {
        let spool = try await TestSpool.threads().open(ModelDisk(seed: 1))
        for number in 0..<6 { try await spool.append([TestSpool.entry(number)]) }
        let all = await spool.readAll()
        await spool.rewind(to: all[4].sequence)
        #expect(await spool.readAll() == Array(all[4...]))
        #expect(spool.facts.events == all[4].events + all[5].events)
        await spool.close()
    }

    @Test func `reads records with different marks apart`() async throws {
        let spool = try await TestSpool.threads().open(ModelDisk(seed: 1))
        for (number, mark) in [(1, 0), (2, 7), (3, 7), (4, 0)] {
            try await spool.append([TestSpool.entry(number, mark: UInt64(mark))])
        }
        #expect(await spool.pendingMarks == [7])
        var marks: [[UInt64]] = []
        while let batch = await spool.next(bytesMax: 1 << 20, eventsMax: 100) {
            marks.append(batch.records.map(\.mark))
            await spool.drained(to: batch.to, events: batch.events)
        }
        #expect(marks == [[0], [7, 7], [0]])
        #expect(await spool.pendingMarks.isEmpty)
        await spool.close()
    }

    @Test func `shares one sync among the appends that wait for it`() async throws {
        let disk = ModelDisk(seed: 1)
        let spool = try await TestSpool.threads().open(disk)
        try await spool.append([TestSpool.entry(0)])
        let before = disk.syncs
        await withTaskGroup(of: Void.self) { group in
            for number in 1...16 {
                group.addTask {
                    await #expect(throws: Never.self) {
                        try await spool.append([TestSpool.entry(number, bytes: 20)])
                    }
                }
            }
        }
        #expect(disk.syncs - before < 16)
        #expect(await spool.readAll().count == 17)
        await spool.close()
    }

    @Test func `refuses when it is full, keeps the old, and takes more once that is drained`() async throws {
        let spool = try await TestSpool.threads().open(ModelDisk(seed: 1))
        var appended = 0
        await #expect(throws: SpoolError.full) {
            while appended < 10_000 {
                try await spool.append([TestSpool.entry(appended, bytes: 1_000)])
                appended += 1
            }
        }
        #expect(spool.facts.isFull)
        #expect(spool.facts.bytes <= TestSpool.limits.bytesMax)
        let records = await spool.readAll()
        #expect(records.map { TestSpool.number(of: $0.payload) } == Array(0..<appended))

        await spool.drained(to: try #require(records.last).sequence + 1, events: 0)
        #expect(!spool.facts.isFull)
        try await spool.append([TestSpool.entry(appended, bytes: 1_000)])
        await spool.close()
    }

    @Test func `is full when the disk gives it no room, until it does`() async throws {
        let disk = ModelDisk(seed: 1)
        disk.set(ModelDisk.Faults(roomBytes: 3_000))
        let spool = try await TestSpool.threads().open(disk)
        await #expect(throws: SpoolError.full) { try await spool.append([TestSpool.entry(1)]) }
        disk.set(ModelDisk.Faults())
        try await Self.eventually { try await spool.append([TestSpool.entry(2)]) }
        #expect(await spool.readAll().map { TestSpool.number(of: $0.payload) } == [2])
        await spool.close()
    }

    /// As long as the disk's pause takes.
    private static func eventually(_ body: () async throws -> Void) async throws {
        while true {
            do {
                return try await body()
            } catch {
                if Task.isCancelled { throw error }
                await Task.yield()
            }
        }
    }

    @Test func `believes no later sync of a file whose sync has failed`() async throws {
        let threads = try TestSpool.threads()
        let disk = ModelDisk(seed: 1)
        let spool = try await threads.open(disk)
        try await spool.append([TestSpool.entry(1)])
        disk.failNextSync()
        await #expect(throws: SpoolError.failed(SystemError(call: "fdatasync", code: EIO))) {
            try await spool.append([TestSpool.entry(2)])
        }
        try await spool.append([TestSpool.entry(3)])
        #expect(spool.facts.segments == 2, "another segment")
        await spool.close()

        let again = try await threads.open(disk.afterPowerLoss())
        let numbers = await again.readAll().map { TestSpool.number(of: $0.payload) }
        #expect(numbers == [1, 3])
        #expect(again.report.damages == 0 && again.report.recordsLost == 0)
        await again.close()
    }

    @Test func `has one owner`() throws {
        let path = TestPaths.makeTemporaryDirectory() + "/spool"
        let folder = try LockedFolder(path: path)
        let error = #expect(throws: SystemError.self) { _ = try LockedFolder(path: path) }
        #expect(error?.call == "flock")
        withExtendedLifetime(folder) {}
    }
}

@Suite(.timeLimit(.minutes(3))) struct `Spool on a real disk` {
    @Test func `writes, reads and recovers`() async throws {
        let threads = try TestSpool.threads()
        let path = TestPaths.makeTemporaryDirectory() + "/spool"
        let written = try await Self.with(path, threads) { spool in
            for number in 0..<40 { try await spool.append([TestSpool.entry(number, bytes: 900)]) }
            return await spool.readAll()
        }
        #expect(written.count == 40)
        let found = try await Self.with(path, threads) { spool in
            #expect(spool.report.damages == 0 && spool.report.tornTails == 0)
            return await spool.readAll()
        }
        #expect(found == written)
    }

    /// The folder, once whoever had it has let go: a closed spool may still be preparing a spare segment.
    private static func folder(_ path: String) async throws -> LockedFolder {
        while true {
            do throws(SystemError) {
                return try LockedFolder(path: path)
            } catch {
                if error.call != "flock" { throw error }
            }
            await Task.yield()
        }
    }

    private static func with<Value>(
        _ path: String,
        _ threads: TestSpool,
        _ body: (Spool) async throws -> Value
    ) async throws -> Value {
        var limits = TestSpool.limits
        limits.bytesMax = 20 * limits.segmentBytes
        let spool = try await threads.open(try await folder(path), limits: limits)
        do {
            let value = try await body(spool)
            await spool.close()
            return value
        } catch {
            await spool.close()
            throw error
        }
    }

    /// A child appends and says what is durable; the parent kills it and looks.
    @Test func `has everything that a killed process was told is durable`() async throws {
        let threads = try TestSpool.threads()
        let loop = try await TestCluster.shared().loop
        let path = TestPaths.makeTemporaryDirectory() + "/spool"
        var acknowledged: Set<Int> = []
        var random = SplitMix(seed: 5)
        for round in 0..<3 {
            let program = RunningProgram(on: loop)
            try await program.start(
                [
                    MillraceBinary.path, "bench-spool", "--data", path, "--list", "--segment", "1000000",
                    "--bytes", "\(3_000 * (round + 1))", "--seconds", "600",
                ]
            )
            let wanted = Int.random(in: 50...400, using: &random)
            for _ in 0..<wanted {
                let line = try #require(try await program.line(), "\(program.log())")
                acknowledged.insert(try #require(Int(line)) * 10 + round)
            }
            await program.signal(SIGKILL)
            while let line = try await program.line() {
                // The last one may have been cut short.
                if let number = Int(line), line.utf8.count > 4 || number < 10_000 {
                    acknowledged.insert(number * 10 + round)
                }
            }
            await program.kill()
        }
        let spool = try await threads.open(try LockedFolder(path: path), limits: SpoolLimits())
        let records = await spool.readAll()
        await spool.close()
        // A number comes once in each round, and the rounds differ in their sizes.
        let found = Set(records.map { TestSpool.number(of: $0.payload) * 10 + $0.payload.count / 3_000 - 1 })
        #expect(acknowledged.count > 150)
        #expect(acknowledged.subtracting(found).isEmpty)
        #expect(found.count == records.count)
        #expect(spool.report.recordsLost == 0)
    }
}
