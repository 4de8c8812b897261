import Glibc
import Reactor

/// The child's side of AWP/1: `millrace worker`.
///
/// Reads a job, works on it, answers, one after another on one thread with blocking reads and writes. The
/// supervisor keeps time, so nothing here has a deadline; when the requests end, the process does.
package struct WorkerLoop: ~Copyable {
    private let channel: BlockingChannel
    private let rollups = RollupKind()
    /// The kinds that tests break the supervisor with; `nil` unless the environment asks for them.
    private let faults: FaultKind?
    private var decoder = FrameDecoder()
    private var input = ReadBuffer(capacity: 0)
    private var encoder = FrameEncoder()
    private var output: [UInt8] = []
    private var resultsUntilMemory = 0

    private static let readChunkBytes = 256 << 10
    /// Results between two that say how much memory the worker has: reading it costs as much as a small job.
    private static let resultsBetweenMemory = 100

    /// Exit codes of `millrace worker`.
    package enum Exit {
        package static let done: CInt = 0
        package static let protocolError: CInt = 1
        package static let misuse: CInt = 2
    }

    /// Runs the worker on the descriptors that the environment names, until it is told to stop.
    ///
    /// - Returns: The process' exit code.
    package static func run() -> CInt {
        let numbers = environment("AWP_FDS")?.split(separator: ",").compactMap { CInt($0) } ?? []
        guard numbers.count == 2, numbers.allSatisfy({ $0 >= 0 }), numbers[0] != numbers[1] else {
            return Exit.misuse
        }
        // A supervisor that is gone is a failed write, not a signal.
        signal(SIGPIPE, SIG_IGN)
        let faults = environment("MILLRACE_WORKER_FAULTS") == "1" ? FaultKind(replies: numbers[1]) : nil
        var loop = WorkerLoop(
            channel: BlockingChannel(adoptingInput: numbers[0], output: numbers[1]),
            faults: faults
        )
        return loop.serve()
    }

    private init(channel: consuming BlockingChannel, faults: FaultKind?) {
        self.channel = channel
        self.faults = faults
    }

    private static func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }

    private mutating func serve() -> CInt {
        while channel.read(into: &input, atMost: Self.readChunkBytes) {
            do throws(FrameError) {
                while let frame = try decoder.next(from: &input) {
                    if let code = handle(frame) { return code }
                }
            } catch {
                // Nothing can be read any more; the exit code and this line say so.
                return complain(error.detail)
            }
        }
        return Exit.done
    }

    private func complain(_ text: String) -> CInt {
        puts("worker: \(text)")
        fflush(nil)
        return Exit.protocolError
    }

    /// Answers one frame; returns an exit code when it was the last.
    private mutating func handle(_ frame: Frame) -> CInt? {
        let sequence = frame.sequence
        let message: SupervisorMessage
        do throws(MessageError) {
            message = try SupervisorMessage(frame)
        } catch {
            return complain(error.detail)
        }
        switch message {
        case .hello(let hello): return answer(hello, sequence)
        case .job(let job): return run(job, sequence)
        case .ping(let n): return send(.pong(n: n, residentBytes: ProcessMemory.residentBytes()), sequence)
        case .drain:
            _ = send(.bye(reason: "drain"), sequence)
            return Exit.done
        // A job that is being worked on keeps this thread from reading; a CANCEL that is read comes too late.
        case .cancel, .unknown: return nil
        }
    }

    private mutating func answer(_ hello: SupervisorMessage.Hello, _ sequence: UInt32) -> CInt? {
        if !hello.versions.contains(1) {
            _ = send(.helloNo(reason: "version 1 is the only one known"), sequence)
            return Exit.protocolError
        }
        encoder = FrameEncoder(bodyBytesMax: hello.frameBytesMax)
        decoder.limits.bodyBytesMax = min(hello.frameBytesMax, FrameLimits.bodyBytesHardMax)
        decoder.limits.messageBytesMax = FrameLimits.bodyBytesHardMax
        var reply = WorkerMessage.HelloOK()
        reply.kinds = [RollupKind.name] + (faults == nil ? [] : FaultKind.names)
        reply.language = "swift"
        return send(.helloOK(reply), sequence)
    }

    private mutating func run(_ job: JobOrder, _ sequence: UInt32) -> CInt? {
        if let faults, FaultKind.names.contains(job.kind) {
            let bytes = faults.run(job, sequence)
            return channel.write(bytes) ? nil : Exit.done
        }
        guard job.kind == RollupKind.name, job.encoding == "ndjson" else {
            let text = "kind '\(job.kind)' with encoding '\(job.encoding)' is unknown here"
            return send(.fail(token: job.token, cause: .permanent, message: text), sequence)
        }
        do throws(JobBodyError) {
            let body = try rollups.run(job.body.span)
            return send(
                .result(
                    token: job.token,
                    encoding: RollupKind.encoding,
                    body: body,
                    residentBytes: memoryIfDue()
                ),
                sequence
            )
        } catch {
            return send(.fail(token: job.token, cause: .permanent, message: error.description), sequence)
        }
    }

    private mutating func memoryIfDue() -> Int64? {
        resultsUntilMemory -= 1
        if resultsUntilMemory > 0 { return nil }
        resultsUntilMemory = Self.resultsBetweenMemory
        return ProcessMemory.residentBytes()
    }

    /// Sends a message; returns an exit code when nobody reads it any more.
    private mutating func send(_ message: WorkerMessage, _ sequence: UInt32) -> CInt? {
        output.removeAll(keepingCapacity: output.capacity <= Self.readChunkBytes)
        encoder.append(message.frame(sequence: sequence), to: &output)
        return channel.write(output) ? nil : Exit.done
    }
}
