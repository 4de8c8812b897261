import Glibc
import Reactor

/// What the service waits for while it runs: signals, and being declared dead.
struct ServiceEvents: Sendable {
    /// Why the service ends, or goes on with ending.
    enum End: Sendable {
        case signal(CInt)
        /// The other nodes have declared this one dead.
        case fenced
        /// The time of `--drain-delay` is over.
        case delayOver
    }

    private let stream: AsyncStream<End>
    private let continuation: AsyncStream<End>.Continuation
    /// One for each SIGHUP, or for several that come together.
    let reloads: AsyncStream<Void>
    private let signals: SignalWatch

    init(loop: EventLoop) async throws(ServiceFailure) {
        (stream, continuation) = AsyncStream.makeStream(
            of: End.self,
            bufferingPolicy: .bufferingNewest(8)
        )
        let (reloads, reload) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.reloads = reloads
        signals = SignalWatch(loop: loop)
        do throws(SystemError) { try await signals.start(continuation, reload) } catch {
            throw ServiceFailure(Exit.failure, "cannot receive signals: \(error)")
        }
    }

    func send(_ end: End) { continuation.yield(end) }

    /// The next reason to end.
    func next() async -> End {
        for await end in stream { return end }
        return .signal(SIGTERM)
    }

    func close() { continuation.finish() }
}

/// Turns signals into events: SIGTERM and SIGINT end the service, SIGHUP has it read its keys again.
private actor SignalWatch {
    private let loop: EventLoop
    private var signals: Signals?

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(loop: EventLoop) {
        self.loop = loop
    }

    func start(
        _ end: AsyncStream<ServiceEvents.End>.Continuation,
        _ reload: AsyncStream<Void>.Continuation
    ) throws(SystemError) {
        signals = try Signals(Program.serviceSignals, on: loop)
        // Lives as long as the process.
        Task(executorPreference: loop) { await self.forward(end, reload) }
    }

    private func forward(
        _ end: AsyncStream<ServiceEvents.End>.Continuation,
        _ reload: AsyncStream<Void>.Continuation
    ) async {
        while let signal = await signals?.next() {
            switch signal {
            case SIGTERM, SIGINT: end.yield(.signal(signal))
            case SIGHUP: reload.yield()
            // SIGUSR1 is taken so that it ends nothing.
            default: break
            }
        }
    }
}
