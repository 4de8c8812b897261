import ArgumentParser
import Logging
import Reactor

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
        await EchoWorker.with(program, logging: .warning, on: loop) { worker in
            do throws(CommandFailure) {
                // The first waits for the process to start.
                for id in 0..<1_000 { try await echo(id, worker) }
                return .success(try await rate(worker))
            } catch {
                return .failure(error)
            }
        }
    }

    private static func rate(_ worker: EchoWorker) async throws(CommandFailure) -> Double {
        let start = Deadline.now()
        var done = 0
        while true {
            try await echo(done, worker)
            done += 1
            let elapsed = Deadline.now().duration(since: start)
            if elapsed >= duration { return Double(done) / (elapsed / .seconds(1)) }
        }
    }

    private static func echo(_ id: Int, _ worker: EchoWorker) async throws(CommandFailure) {
        let body = [UInt8](repeating: UInt8(truncatingIfNeeded: id), count: bodyBytes)
        if let outcome = await worker.echo(body, id: id) {
            throw CommandFailure("bench-worker: the worker answered \(outcome)")
        }
    }
}
