import Glibc
import Reactor
import Synchronization
import TestSupport
import Testing

@testable import Spool

@Suite(.timeLimit(.minutes(3))) struct `Damaged spool` {
    /// Spools of 40 records in three segments, each record alone in its group.
    private static func filled(
        _ threads: TestSpool,
        seed: UInt64
    ) async throws -> (ModelDisk, [SpooledRecord]) {
        let disk = ModelDisk(seed: seed)
        let spool = try await threads.open(disk)
        for number in 0..<40 { try await spool.append([TestSpool.entry(number, bytes: 500)]) }
        let records = await spool.readAll()
        await spool.close()
        return (disk.afterPowerLoss(), records)
    }

    /// Where each record of a disk lies: its file, its bytes.
    private static func places(_ disk: ModelDisk) throws -> [UInt64: (file: String, bytes: Range<Int>)] {
        var places: [UInt64: (String, Range<Int>)] = [:]
        for file in try disk.names() {
            guard let name = SegmentName(file) else { continue }
            let opened = try disk.open(file)
            var scanner = SegmentScanner(
                opened,
                name,
                end: try opened.size(),
                limit: .max,
                limits: TestSpool.limits
            )
            var start = 0
            while case .record(let record) = scanner.next() {
                places[record.sequence] = (
                    file, start..<start + RecordHeader.byteCount + record.payload.count
                )
                start = scanner.offset
            }
        }
        return places
    }

    @Test func `loses no record but those whose bytes were changed, and says how many these are`()
        async throws
    {
        let threads = try TestSpool.threads()
        for seed in UInt64(0)..<100 {
            var random = SplitMix(seed: seed)
            let (disk, records) = try await Self.filled(threads, seed: seed)
            let places = try Self.places(disk)
            #expect(places.count == 40)
            // Not of the last one: there, damage cannot be told from what a crash leaves.
            var hurt: Set<UInt64> = []
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let victim = records[Int.random(in: 0..<39, using: &random)].sequence
                let place = try #require(places[victim])
                // Anything of it that says something: length, sums, sequence, mark, payload.
                let unused = place.bytes.lowerBound + 36..<place.bytes.lowerBound + 40
                let byte = place.bytes.filter { !unused.contains($0) }.randomElement(using: &random)
                disk.flip(place.file, at: try #require(byte))
                hurt.insert(victim)
            }

            let spool = try await threads.open(disk)
            let found = await spool.readAll()
            #expect(found == records.filter { !hurt.contains($0.sequence) }, "seed \(seed)")
            #expect(spool.report.recordsLost == hurt.count, "seed \(seed)")
            #expect(spool.report.damages >= 1 && spool.report.damages <= hurt.count, "seed \(seed)")

            await spool.drained(to: try #require(records.last).sequence + 1, events: 0)
            await spool.close()
            let aside = try disk.names().filter { $0.hasSuffix(".damaged") }
            let files = Set(hurt.compactMap { places[$0]?.file })
            #expect(Set(aside) == Set(files.map { "\($0).damaged" }), "seed \(seed)")
        }
    }

    @Test func `reads around pages that the disk does not give`() async throws {
        let threads = try TestSpool.threads()
        let (disk, records) = try await Self.filled(threads, seed: 3)
        let places = try Self.places(disk)
        let first = try #require(places[records[0].sequence]?.file)
        disk.spoil(first, 4_096..<4_100)
        let spool = try await threads.open(disk)
        let found = await spool.readAll()
        let touched = records.filter {
            places[$0.sequence]?.file == first && places[$0.sequence]?.bytes.overlaps(4_096..<8_192) == true
        }
        #expect(
            Set(records.map(\.sequence)).subtracting(found.map(\.sequence)).isSubset(
                of: touched.map(\.sequence)
            )
        )
        #expect(spool.report.recordsLost == records.count - found.count && spool.report.recordsLost > 0)
        await spool.close()
    }

    @Test func `finds damage that came while it was open`() async throws {
        let disk = ModelDisk(seed: 1)
        let spool = try await TestSpool.threads().open(disk)
        for number in 0..<10 { try await spool.append([TestSpool.entry(number, bytes: 500)]) }
        let places = try Self.places(disk)
        let second = try #require(places.keys.sorted().dropFirst().first)
        let place = try #require(places[second])
        disk.flip(place.file, at: place.bytes.lowerBound + 100)
        #expect(await spool.readAll().map { TestSpool.number(of: $0.payload) } == [0] + Array(2..<10))
        await spool.close()
    }

    @Test func `does not take for a record what a client sent that looks like one`() async throws {
        let threads = try TestSpool.threads()
        let disk = ModelDisk(seed: 1)
        let spool = try await threads.open(disk)
        try await spool.append([TestSpool.entry(1)])
        let next = try #require(await spool.readAll().last).sequence + 1
        var forged: [UInt8] = [UInt8](repeating: 0, count: 8)
        RecordHeader.append(TestSpool.entry(666), sequence: next + 1, groupIndex: 0, salt: 0, to: &forged)
        try await spool.append([SpoolEntry(payload: forged, events: 1)])
        try await spool.append([TestSpool.entry(3)])
        await spool.close()
        let place = try #require(try Self.places(disk)[next])
        disk.flip(place.file, at: place.bytes.lowerBound + 5)

        let again = try await threads.open(disk.afterKill())
        #expect(await again.readAll().map { TestSpool.number(of: $0.payload) } == [1, 3])
        await again.close()
    }

    @Test func `is another spool when its cursor is gone, and drains all that it has`() async throws {
        let threads = try TestSpool.threads()
        let (disk, records) = try await Self.filled(threads, seed: 1)
        let before = try await threads.open(disk)
        await before.drained(to: records[3].sequence, events: 0)
        await before.close()
        for byte in [16, 512 + 16] { disk.flip("cursor", at: byte) }

        let spool = try await threads.open(disk.afterKill())
        #expect(spool.identity != before.identity)
        #expect(await spool.readAll() == records)
        await spool.close()
    }

    /// A crash in the middle of a write leaves any of its sectors.
    @Test func `takes the torn end of what was being written for no damage`() async throws {
        let threads = try TestSpool.threads()
        for seed in UInt64(0)..<60 {
            let disk = ModelDisk(seed: seed)
            let spool = try await threads.open(disk)
            try await spool.append((0..<3).map { TestSpool.entry($0, bytes: 400) })
            disk.set(ModelDisk.Faults(callsLeft: 1))
            await #expect(throws: SpoolError.self) {
                try await spool.append((3..<7).map { TestSpool.entry($0, bytes: 400) })
            }
            await spool.close()
            var lost = disk.afterPowerLoss()
            for _ in 0..<2 {
                let again = try await threads.open(lost)
                #expect(again.report.damages == 0 && again.report.recordsLost == 0, "seed \(seed)")
                let numbers = await again.readAll().map { TestSpool.number(of: $0.payload) }
                #expect(numbers.starts(with: [0, 1, 2]), "seed \(seed)")
                try await again.append([TestSpool.entry(9)])
                await again.close()
                lost = lost.afterPowerLoss()
            }
        }
    }
}

extension ModelDisk {
    var syncs: Int { contents.withLock { $0.syncs } }

    func failNextSync() { contents.withLock { $0.failsNextSync = true } }

    /// Changes one bit of a file.
    func flip(_ name: String, at offset: Int) {
        change(name) { image in
            image.seen[offset] ^= 0x10
            if image.durable.indices.contains(offset) { image.durable[offset] ^= 0x10 }
        }
    }

    /// Makes a part of a file unreadable.
    func spoil(_ name: String, _ range: Range<Int>) { change(name) { $0.badRange = range } }

    private func change(_ name: String, _ body: (inout Image) -> Void) {
        contents.withLock { contents in
            guard let number = contents.names[name], var image = contents.images[number] else { return }
            body(&image)
            contents.images[number] = image
        }
    }
}
