import Logging
import Reactor
import Workers

/// One worker process that gives back what it is given: the way to a worker and back, and nothing else.
struct EchoWorker: Sendable {
    private let pool: WorkerPool

    private static let timeout = Duration.seconds(10)
    private static let drain = Duration.seconds(5)

    /// Starts the process of `program` for `body`, and ends it afterwards.
    static func with<Value>(
        _ program: String,
        logging level: Logger.Level,
        on loop: EventLoop,
        _ body: (EchoWorker) async -> Value
    ) async -> Value {
        var configuration = WorkerPoolConfiguration.builtIn(size: 1, millrace: program)
        // Offers the kind "echo".
        configuration.environment["MILLRACE_WORKER_FAULTS"] = "1"
        let logger = Logger(label: "echo") { LineLogHandler(label: $0, format: .text, level: level) }
        let pool = WorkerPool(configuration, loop: loop, logger: logger)
        await pool.start()
        let value = await body(EchoWorker(pool: pool))
        await pool.drain(deadline: .after(drain))
        return value
    }

    /// Sends bytes there and back; what happened instead, where they did not come back.
    func echo(_ body: [UInt8], id: Int) async -> WorkerOutcome? {
        let job = WorkerJob(
            id: Int64(id),
            token: Int64(id) + 1,
            kind: "echo",
            timeout: Self.timeout,
            encoding: "raw",
            body: body
        )
        let outcome = await pool.run(job)
        return outcome == .result(encoding: "raw", body: body) ? nil : outcome
    }
}
