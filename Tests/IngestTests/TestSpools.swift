import Reactor
import Spool
import TestSupport

@testable import Ingest

/// Spools of tests, each in a folder of its own.
enum TestSpools {
    /// Lends a spool with small segments to `body`.
    static func with<Value>(
        _ limits: SpoolLimits = SpoolLimits(),
        _ body: (Spool) async throws -> Value
    ) async throws -> Value {
        let (loop, ahead) = (try EventLoop(name: "spool"), try EventLoop(name: "ahead"))
        defer {
            loop.stop()
            ahead.stop()
        }
        let folder = try LockedFolder(path: TestPaths.makeTemporaryDirectory() + "/spool")
        var limits = limits
        limits.segmentBytes = min(limits.segmentBytes, 1 << 20)
        limits.payloadBytesMax = min(limits.payloadBytesMax, limits.segmentBytes / 2)
        let spool = try await Spool.open(
            on: folder,
            limits: limits,
            fingerprints: SpooledEvents.fingerprints,
            loop: loop,
            ahead: ahead,
            logger: TestCluster.logger
        )
        do {
            let value = try await body(spool)
            await spool.close()
            return value
        } catch {
            await spool.close()
            throw error
        }
    }
}
