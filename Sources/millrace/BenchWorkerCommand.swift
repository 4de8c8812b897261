import ArgumentParser
import Logging
import Reactor
import Workers

/// `millrace bench-worker`: how fast a worker process answers, one job of 1 KB after another.
struct BenchWorkerCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-worker",
        abstract: "Measure round trips to one worker process.",
        shouldDisplay: false
    )

    private static let bodyBytes = 1_024
    private static let duration = Duration.seconds(2)

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        let program: String
        do throws(SystemError) { program = try Machine.programPath() } catch {
            throw CommandFailure("bench-worker: \(error)")
        }
        let result = try await onLoop { loop in await Self.measure(program, on: loop) }
        Measurement.print("round trips", try result.get(), "/s")
        return Exit.success
    }

    private static func measure(_ program: String, on loop: EventLoop) async -> Result<Double, CommandFailure>
    {
        var configuration = WorkerPoolConfiguration.builtIn(size: 1, millrace: program)
        // Offers the kind "echo".
        configuration.environment["MILLRACE_WORKER_FAULTS"] = "1"
        let logger = Logger(label: "bench") { LineLogHandler(label: $0, format: .text, level: .warning) }
        let pool = WorkerPool(configuration, loop: loop, logger: logger)
        await pool.start()
        let result: Result<Double, CommandFailure>
        do throws(CommandFailure) {
            // The first waits for the process to start.
            for id in 0..<1_000 { try await echo(id, pool) }
            result = .success(try await rate(pool))
        } catch {
            result = .failure(error)
        }
        await pool.drain(deadline: .after(.seconds(5)))
        return result
    }

    private static func rate(_ pool: WorkerPool) async throws(CommandFailure) -> Double {
        let start = Deadline.now()
        var done = 0
        while true {
            try await echo(done, pool)
            done += 1
            let elapsed = Deadline.now().duration(since: start)
            if elapsed >= duration { return Double(done) / (elapsed / .seconds(1)) }
        }
    }

    private static func echo(_ id: Int, _ pool: WorkerPool) async throws(CommandFailure) {
        let job = WorkerJob(
            id: Int64(id),
            token: Int64(id) + 1,
            kind: "echo",
            timeout: .seconds(10),
            encoding: "raw",
            body: [UInt8](repeating: UInt8(truncatingIfNeeded: id), count: bodyBytes)
        )
        let outcome = await pool.run(job)
        guard outcome == .result(encoding: "raw", body: job.body) else {
            throw CommandFailure("bench-worker: the worker answered \(outcome)")
        }
    }
}
