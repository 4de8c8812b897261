import Ingest
import Logging
import Reactor
import Spool

/// The spool of a running service, in the folder `spool` of its data.
enum ServiceSpool {
    /// Of the room that the disk has left, where nobody says how much the spool may take.
    private static let shareOfDisk = 5

    /// Opens the spool; `nil` where there is none, by choice or because the disk does not let it.
    ///
    /// That is no reason not to serve: with the database there, no event needs it.
    static func open(_ configuration: ServiceConfiguration, logger: Logger) async -> Spool? {
        if configuration.spoolBytesMax == 0 { return nil }
        let path = configuration.data + "/spool"
        do throws(SystemError) {
            let folder = try LockedFolder(path: path)
            var limits = SpoolLimits()
            limits.segmentBytes = configuration.spoolSegmentBytes
            let share = try folder.freeBytes() / shareOfDisk
            limits.bytesMax = configuration.spoolBytesMax ?? min(limits.bytesMax, share)
            if limits.bytesMax < limits.segmentBytes {
                logger.error("no room for a spool", metadata: ["path": "\(path)"])
                return nil
            }
            return try await Spool.open(
                on: folder,
                limits: limits,
                fingerprints: SpooledEvents.fingerprints,
                loop: try EventLoop(name: "spool"),
                ahead: try EventLoop(name: "spool-ahead"),
                logger: logger
            )
        } catch {
            logger.error(
                "running without a spool; what is in it stays there",
                metadata: ["path": "\(path)", "reason": "\(error)"]
            )
            return nil
        }
    }
}
