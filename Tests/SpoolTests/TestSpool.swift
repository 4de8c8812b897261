import Reactor
import Synchronization
import TestSupport
import Testing

@testable import Spool

/// The two threads of the spools of a test run, and small limits.
struct TestSpool {
    let loop: EventLoop
    let ahead: EventLoop

    private static let shared = Result { try TestSpool() }

    static func threads() throws -> TestSpool { try shared.get() }

    private init() throws {
        loop = try EventLoop(name: "test-spool")
        ahead = try EventLoop(name: "test-ahead")
    }

    /// Segments of 8 KiB, five of them.
    static var limits: SpoolLimits {
        var limits = SpoolLimits()
        limits.segmentBytes = 8 << 10
        limits.bytesMax = 5 * limits.segmentBytes
        limits.groupBytesMax = 2 << 10
        limits.payloadBytesMax = 2_000
        limits.roomBytesMin = 2_100
        limits.windowBytes = 1 << 10
        limits.retry = .milliseconds(1)
        return limits
    }

    func open(_ disk: any SpoolDisk, limits: SpoolLimits = limits) async throws -> Spool {
        try await Spool.open(on: disk, limits: limits, loop: loop, ahead: ahead, logger: TestCluster.logger)
    }

    /// A payload that tells its number, of `count` bytes.
    static func entry(_ number: Int, bytes count: Int = 100, mark: UInt64 = 0) -> SpoolEntry {
        var payload = Array("\(number) ".utf8)
        while payload.count < count {
            payload.append(UInt8(truncatingIfNeeded: number &* 31 &+ payload.count))
        }
        return SpoolEntry(payload: payload, events: number % 3 + 1, mark: mark)
    }

    static func number(of payload: [UInt8]) -> Int {
        Int(String(decoding: payload.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)) ?? -1
    }
}

extension Spool {
    /// All that is left, without forgetting it.
    func readAll() -> [SpooledRecord] {
        var records: [SpooledRecord] = []
        while let batch = next(bytesMax: 3_000, eventsMax: 50) { records += batch.records }
        return records
    }
}
