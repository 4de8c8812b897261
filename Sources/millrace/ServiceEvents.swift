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
    private let signals: SignalWatch

    init(loop: EventLoop) async throws(ServiceFailure) {
        (stream, continuation) = AsyncStream.makeStream(
            of: End.self,
            bufferingPolicy: .bufferingNewest(8)
        )
        signals = SignalWatch(loop: loop)
        do throws(SystemError) { try await signals.start(continuation) } catch {
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

/// Turns the signals that end the service into events. Others are taken note of and change nothing yet.
private actor SignalWatch {
    private let loop: EventLoop
    private var signals: Signals?

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(loop: EventLoop) {
        self.loop = loop
    }

    func start(_ continuation: AsyncStream<ServiceEvents.End>.Continuation) throws(SystemError) {
        signals = try Signals(Program.serviceSignals, on: loop)
        // Lives as long as the process.
        Task(executorPreference: loop) { await self.forward(continuation) }
    }

    private func forward(_ continuation: AsyncStream<ServiceEvents.End>.Continuation) async {
        while let signal = await signals?.next() {
            if signal == SIGTERM || signal == SIGINT { continuation.yield(.signal(signal)) }
        }
    }
}
