import Reactor

/// Makes the segments to come, on a thread of its own: writing 64 MB must hold up nobody's append.
actor SparePreparer {
    nonisolated private let loop: EventLoop
    private let disk: any SpoolDisk
    private let limits: SpoolLimits
    private var made = 0

    private static let stepBytes = 1 << 20
    /// Made durable in parts: one large one would be in the way of the appends' own.
    private static let syncBytes = 8 << 20

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(disk: any SpoolDisk, limits: SpoolLimits, loop: EventLoop) {
        self.disk = disk
        self.limits = limits
        self.loop = loop
    }

    /// Makes the spare: room taken first, so that a full disk is noticed here, then zeros all over, since
    /// overwriting what is there is what makes an fdatasync cheap.
    func make() -> Result<Void, SystemError> {
        made += 1
        return Result { () throws(SystemError) in
            if try disk.names().contains(SpoolNames.spare) { try disk.remove(SpoolNames.spare) }
            let file = try disk.create(SpoolNames.spare)
            do throws(SystemError) {
                try fill(file)
            } catch {
                // A part of a segment helps nobody, and its room may help somebody.
                _ = Result { () throws(SystemError) in try disk.remove(SpoolNames.spare) }
                throw error
            }
        }
    }

    private func fill(_ file: any SpoolFile) throws(SystemError) {
        try file.reserve(bytes: limits.segmentBytes)
        let zeros = [UInt8](repeating: 0, count: min(Self.stepBytes, limits.segmentBytes))
        var written = 0
        while written < limits.segmentBytes {
            let count = min(zeros.count, limits.segmentBytes - written)
            try file.write(count == zeros.count ? zeros : Array(zeros[..<count]), at: written)
            written += count
            if written % Self.syncBytes == 0 { try file.synchronize() }
        }
        try file.synchronize()
    }
}
