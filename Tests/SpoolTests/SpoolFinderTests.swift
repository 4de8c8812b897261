import Reactor
import Synchronization
import TestSupport
import Testing

@testable import Spool

@Suite(.timeLimit(.minutes(1))) struct `Looking up in a spool` {
    /// An entry's fingerprints are the remainder of its number, so that many have the same.
    private static let fingerprints: SpoolFingerprints = { [UInt32(TestSpool.number(of: $0) % 10)] }

    private static func open(
        _ disk: any SpoolDisk,
        _ change: (inout SpoolLimits) -> Void = { _ in }
    ) async throws -> Spool {
        let threads = try TestSpool.threads()
        var limits = TestSpool.limits
        change(&limits)
        return try await Spool.open(
            on: disk,
            limits: limits,
            fingerprints: fingerprints,
            loop: threads.loop,
            ahead: threads.ahead,
            logger: TestCluster.logger
        )
    }

    /// The payload of the newest entry of this number.
    private static func find(_ number: Int, in spool: Spool) async -> SpoolSearch<Int> {
        await spool.search(UInt32(number % 10)) { TestSpool.number(of: $0) == number ? number : nil }
    }

    @Test func `finds each record that is not drained, and after a loss of power too`() async throws {
        let disk = ModelDisk(seed: 1)
        let spool = try await Self.open(disk)
        // More than a segment has room for.
        for number in 0..<100 { try await spool.append([TestSpool.entry(number)]) }
        let batch = try #require(await spool.next(bytesMax: 2_000, eventsMax: 1_000))
        await spool.drained(to: batch.to, events: batch.events)
        func check(_ spool: Spool, _ comment: Comment) async {
            for number in 0..<110 {
                let isThere = number >= batch.records.count && number < 100
                #expect(
                    await Self.find(number, in: spool) == (isThere ? .found(number) : .absent),
                    "\(comment): \(number)"
                )
            }
        }
        await check(spool, "open")
        await spool.close()

        let again = try await Self.open(disk.afterPowerLoss())
        await check(again, "opened again")
        await again.drained(to: try #require(await again.readAll().last).sequence + 1, events: 0)
        #expect(await Self.find(99, in: again) == .absent)
        await again.close()
    }

    @Test func `looks at the newest first`() async throws {
        let spool = try await Self.open(ModelDisk(seed: 1))
        for number in [3, 13, 23] { try await spool.append([TestSpool.entry(number)]) }
        let newest = await spool.search(3) { TestSpool.number(of: $0) }
        #expect(newest == .found(23))
        await spool.close()
    }

    @Test func `does not deny what it could not keep in mind, until that is drained`() async throws {
        // A segment has 56 of them.
        let spool = try await Self.open(ModelDisk(seed: 1)) { $0.indexedEventsMax = 60 }
        for number in 0..<200 { try await spool.append([TestSpool.entry(number)]) }
        #expect(await Self.find(59, in: spool) == .found(59))
        #expect(await Self.find(60, in: spool) == .unknown)
        #expect(await Self.find(1_000, in: spool) == .unknown)

        for number in 200..<300 {
            try await spool.append([TestSpool.entry(number)])
            await spool.drained(to: try #require(await spool.readAll().last).sequence, events: 0)
        }
        #expect(await Self.find(298, in: spool) == .absent)
        #expect(await Self.find(299, in: spool) == .found(299))
        await spool.close()
    }

    @Test func `reads no more records than its bound, and does not deny the rest`() async throws {
        let spool = try await Self.open(ModelDisk(seed: 1)) { $0.searchedRecordsMax = 2 }
        for number in [3, 13, 23] { try await spool.append([TestSpool.entry(number)]) }
        #expect(await Self.find(13, in: spool) == .found(13))
        #expect(await Self.find(3, in: spool) == .unknown)
        await spool.close()
    }

    @Test func `finds what is withheld as well, and after a loss of power too`() async throws {
        let disk = ModelDisk(seed: 1)
        let spool = try await Self.open(disk)
        for number in 0..<3 { try await spool.append([TestSpool.entry(number)]) }
        let records = await spool.readAll()
        try await spool.withhold(records[1])
        await spool.drained(to: records[2].sequence + 1, events: 6)
        #expect(spool.facts.events == records[1].events && spool.facts.withheldEvents == records[1].events)
        #expect(await Self.find(1, in: spool) == .found(1))
        await spool.close()

        let second = disk.afterPowerLoss()
        let again = try await Self.open(second)
        #expect(await again.withheldSequences == [records[1].sequence])
        #expect(again.facts.events == records[1].events)
        #expect(await Self.find(1, in: again) == .found(1))
        #expect(await Self.find(2, in: again) == .absent)
        await again.release(records[1].sequence)
        #expect(await Self.find(1, in: again) == .absent)
        #expect(again.facts.events == 0)
        await again.close()
        let last = try await Self.open(second.afterPowerLoss())
        #expect(await last.withheldSequences.isEmpty)
        await last.close()
    }

    @Test func `withholds no more than its bound`() async throws {
        let spool = try await Self.open(ModelDisk(seed: 1)) { $0.withheldRecordsMax = 1 }
        for number in 0..<2 { try await spool.append([TestSpool.entry(number)]) }
        let records = await spool.readAll()
        try await spool.withhold(records[0])
        try await spool.withhold(records[0])
        await #expect(throws: SpoolError.full) { try await spool.withhold(records[1]) }
        await spool.close()
    }

    @Test func `does not deny what the disk does not give back`() async throws {
        let disk = ModelDisk(seed: 1)
        let spool = try await Self.open(disk)
        for number in 0..<3 { try await spool.append([TestSpool.entry(number)]) }
        disk.contents.withLock { contents in
            for id in contents.images.keys { contents.images[id]?.badRange = 0..<200 }
        }
        #expect(await Self.find(0, in: spool) == .unknown)
        #expect(await Self.find(2, in: spool) == .found(2))
        await spool.close()
    }
}
