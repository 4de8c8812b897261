/// Every bound of the pool and of a worker process.
package struct WorkerLimits: Sendable {
    package var frames = FrameLimits()
    /// From the spawn to HELLO_OK; a Python worker with numpy takes under a second.
    package var boot = Duration.seconds(10)
    /// HELLO_OK's body and header; anything longer is not a handshake.
    package var helloBytesMax = 64 << 10
    /// The part of a job's time after which a worker that can is asked to stop, in percent.
    package var softTimeoutPercent = 80
    /// Between SIGTERM and SIGKILL.
    package var terminationGrace = Duration.seconds(2)
    /// Between SIGKILL and giving up on the process (it hangs in the kernel); the slot then gets another one.
    package var reapGrace = Duration.seconds(5)
    /// From a user's CANCEL to SIGTERM.
    package var cancelGrace = Duration.seconds(2)
    /// For BYE and the exit after DRAIN, when no job runs.
    package var leaveGrace = Duration.seconds(5)
    /// After the exit, for the end of the pipes: a grandchild in another session may hold them.
    package var pipeGrace = Duration.seconds(1)
    /// Jobs that wait for a free worker; more are given back at once.
    package var waitingMax = 64
    /// How long one of them waits before it is given back, too.
    package var waiting = Duration.seconds(30)
    /// Jobs after which a worker is replaced, give or take a fifth (so that not all go at once): bounds slow
    /// leaks.
    package var jobsPerWorker = 10_000
    /// Memory above which a worker is replaced after its job; it reports the figure itself.
    package var residentBytesMax: Int64 = 1 << 30
    package var respawnDelayMin = Duration.milliseconds(100)
    package var respawnDelayMax = Duration.seconds(30)
    /// Boot failures within ``bootFailureWindow`` that open the breaker: the command is broken, not one
    /// process.
    package var bootFailuresMax = 5
    package var bootFailureWindow = Duration.seconds(60)
    /// Between two attempts while the breaker is open.
    package var breakerProbe = Duration.seconds(30)
    /// Between two PINGs to an idle worker, which report its memory.
    package var beat = Duration.seconds(10)
    package var log = WorkerLogLimits()
    /// Structured LOG frames a second and worker; more are dropped and counted.
    package var logFramesPerSecondMax = 200
    package var readChunkBytes = 64 << 10

    package init() {}
}

/// Bounds of what is kept and forwarded of a worker's standard output and error.
package struct WorkerLogLimits: Sendable {
    /// Kept for the post-mortem of a crash.
    package var tailBytesMax = 64 << 10
    /// Longer lines are cut into pieces.
    package var lineBytesMax = 8 << 10
    /// Forwarded to the log; more is read, counted and dropped, so that a chatty worker never blocks.
    package var bytesPerSecondMax = 1 << 20

    package init() {}
}
