import Glibc
import Reactor
import TestSupport
import Testing

@testable import Spool

/// A spool that is opened, used and torn down again and again on a disk that fails.
private struct Walk {
    let seed: UInt64
    let threads: TestSpool
    var random: SplitMix
    var disk: ModelDisk
    var nextNumber = 0
    /// Numbers that were appended, whatever came of it.
    var tried: [Int: SpoolEntry] = [:]
    var acknowledged: Set<Int> = []
    /// Numbers that a reader has said are safe elsewhere.
    var drained: Set<Int> = []
    var refusals = 0
    var powerLosses = 0

    init(seed: UInt64, threads: TestSpool) {
        self.seed = seed
        self.threads = threads
        random = SplitMix(seed: seed)
        disk = ModelDisk(seed: seed &+ 1)
    }

    mutating func chance(_ oneIn: Int) -> Bool { Int.random(in: 0..<oneIn, using: &random) == 0 }

    /// One life of a process.
    mutating func live() async throws {
        var faults = ModelDisk.Faults()
        if !chance(4) { faults.callsLeft = Int.random(in: 0..<150, using: &random) }
        if chance(3) { faults.errorOneIn = Int.random(in: 5...60, using: &random) }
        if chance(4) {
            faults.roomBytes = Int.random(in: 0...6, using: &random) * TestSpool.limits.segmentBytes
        }
        disk.set(faults)
        do {
            let spool = try await threads.open(disk)
            for _ in 0..<Int.random(in: 1...40, using: &random) where !disk.isOff { await step(spool) }
            await spool.close()
        } catch is SystemError {
            // It could not even be opened; so be it.
        }
        let loses = disk.isOff || chance(2)
        powerLosses += loses ? 1 : 0
        disk = loses ? disk.afterPowerLoss() : disk.afterKill()
    }

    mutating func step(_ spool: Spool) async {
        if chance(4) {
            await drain(spool)
            return
        }
        var appends: [[SpoolEntry]] = []
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let count = chance(10) ? 30 : Int.random(in: 1...3, using: &random)
            appends.append((0..<count).map { _ in makeEntry() })
        }
        let results = await withTaskGroup(of: (Int, Bool).self) { group in
            for (index, entries) in appends.enumerated() {
                group.addTask {
                    do {
                        try await spool.append(entries)
                        return (index, true)
                    } catch {
                        return (index, false)
                    }
                }
            }
            return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
        for (index, entries) in appends.enumerated() {
            if results[index] == true {
                acknowledged.formUnion(entries.map { TestSpool.number(of: $0.payload) })
            } else {
                refusals += 1
            }
        }
    }

    mutating func makeEntry() -> SpoolEntry {
        nextNumber += 1
        let entry = TestSpool.entry(nextNumber, bytes: Int.random(in: 8...700, using: &random))
        tried[nextNumber] = entry
        return entry
    }

    mutating func drain(_ spool: Spool) async {
        guard let batch = await spool.next(bytesMax: 2_000, eventsMax: 20) else { return }
        check(batch.records)
        if chance(5) {
            // The database was not there after all.
            await spool.rewind(to: 0)
            return
        }
        await spool.drained(to: batch.to, events: batch.events)
        drained.formUnion(batch.records.map { TestSpool.number(of: $0.payload) })
    }

    /// What comes back is what went in, in order.
    func check(_ records: [SpooledRecord]) {
        for record in records {
            let entry = tried[TestSpool.number(of: record.payload)]
            #expect(entry?.payload == record.payload && entry?.events == record.events, "seed \(seed)")
        }
        let sequences = records.map(\.sequence)
        #expect(sequences == sequences.sorted() && Set(sequences).count == sequences.count, "seed \(seed)")
    }

    /// With a disk that works, everything that was acknowledged and not drained is there, and nothing is
    /// reported as lost.
    mutating func end() async throws {
        let spool = try await threads.open(disk)
        let records = await spool.readAll()
        await spool.close()
        check(records)
        let found = Set(records.map { TestSpool.number(of: $0.payload) })
        #expect(found.count == records.count, "seed \(seed): something is there twice")
        let missing = acknowledged.subtracting(drained).subtracting(found)
        #expect(missing.isEmpty, "seed \(seed)")
        #expect(spool.report.recordsLost == 0, "seed \(seed)")
        #expect(spool.report.records == records.count, "seed \(seed)")
        #expect(spool.report.events == records.reduce(0) { $0 + $1.events }, "seed \(seed)")
    }
}

@Suite(.timeLimit(.minutes(5))) struct `Spool, walked at random` {
    @Test func `keeps all that it has acknowledged, whatever the disk does and whenever the power goes`()
        async throws
    {
        let threads = try TestSpool.threads()
        var acknowledged = 0
        var refusals = 0
        var losses = 0
        for seed in UInt64(0)..<150 {
            var walk = Walk(seed: seed, threads: threads)
            for _ in 0..<4 { try await walk.live() }
            try await walk.end()
            acknowledged += walk.acknowledged.count
            refusals += walk.refusals
            losses += walk.powerLosses
        }
        #expect(acknowledged > 7_000 && refusals > 300 && losses > 150, "the walks must get somewhere")
    }
}
