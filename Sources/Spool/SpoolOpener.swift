import Reactor

/// Lets the recovery wait for the disk on the spool's own thread.
actor SpoolOpener {
    nonisolated private let loop: EventLoop
    private var isUsed = false

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(loop: EventLoop) {
        self.loop = loop
    }

    func recover(
        _ disk: any SpoolDisk,
        _ limits: SpoolLimits,
        _ fingerprints: @escaping SpoolFingerprints
    ) -> Result<SpoolRecovery.Outcome, SystemError> {
        isUsed = true
        return Result { () throws(SystemError) in
            try SpoolRecovery.run(on: disk, limits: limits, fingerprints: fingerprints)
        }
    }
}
