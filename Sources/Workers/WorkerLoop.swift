import Analytics
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
    /// The job whose body comes in pieces.
    private var open: OpenJob?

    private static let readChunkBytes = 256 << 10
    /// A job between its first piece and its last.
    private enum OpenJob {
        /// Is put together and run as a whole.
        case whole(Frame)
        /// Takes each piece as it comes.
        case analysis(AnalysisWork, token: Int64, sequence: UInt32)
        /// Has been answered; what comes of it is read past.
        case answered(sequence: UInt32)

        var sequence: UInt32 {
            switch self {
            case .whole(let frame): frame.sequence
            case .analysis(_, _, let sequence), .answered(let sequence): sequence
            }
        }
    }

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
        if frame.type == .job, let open, open.sequence == frame.sequence { return go(on: open, with: frame) }
        if frame.hasMore { return begin(frame) }
        return answer(frame)
    }

    private mutating func answer(_ frame: Frame) -> CInt? {
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
        case .cancel(let cancelled, _): return cancel(cancelled)
        case .unknown: return nil
        }
    }

    /// A job that is whole keeps this thread from reading, and a CANCEL that is read then comes too late;
    /// one that comes in pieces stops between two of them.
    private mutating func cancel(_ sequence: UInt32) -> CInt? {
        guard case .analysis(_, let token, sequence)? = open else { return nil }
        open = .answered(sequence: sequence)
        return send(.fail(token: token, cause: .cancelled, message: "cancelled"), sequence)
    }

    // MARK: Jobs in pieces

    /// The first of several pieces.
    private mutating func begin(_ frame: Frame) -> CInt? {
        let message: SupervisorMessage
        do throws(MessageError) {
            message = try SupervisorMessage(frame)
        } catch {
            return complain(error.detail)
        }
        guard case .job(let job) = message, isAnalysis(job.kind) else {
            open = .whole(frame)
            return nil
        }
        return begin(job, frame.sequence) ?? open.flatMap { go(on: $0, with: frame) }
    }

    private func isAnalysis(_ kind: String) -> Bool { Analysis.kinds.contains { $0.name == kind } }

    private mutating func begin(_ job: JobOrder, _ sequence: UInt32) -> CInt? {
        do throws(AnalysisWork.Failure) {
            let work = try AnalysisWork(kind: job.kind, parameters: job.parameters)
            open = work.map { .analysis($0, token: job.token, sequence: sequence) }
            return nil
        } catch {
            open = .answered(sequence: sequence)
            return send(.fail(token: job.token, cause: .permanent, message: error.description), sequence)
        }
    }

    /// Another piece of the open job, maybe its last.
    private mutating func go(on job: OpenJob, with frame: Frame) -> CInt? {
        // Taken out, so that the state has one owner and is changed in place.
        open = nil
        switch job {
        case .answered: if frame.hasMore { open = job }
        case .whole(var whole):
            if frame.body.count > FrameLimits.bodyBytesHardMax - whole.body.count {
                return complain(FrameError.messageTooLong(limit: FrameLimits.bodyBytesHardMax).detail)
            }
            whole.body += frame.body
            whole.hasMore = frame.hasMore
            if !frame.hasMore { return answer(whole) }
            open = .whole(whole)
        case .analysis(let work, let token, let sequence):
            return go(on: work, token, sequence, with: frame)
        }
        return nil
    }

    private mutating func go(
        on work: consuming AnalysisWork,
        _ token: Int64,
        _ sequence: UInt32,
        with frame: Frame
    ) -> CInt? {
        do throws(AnalysisWork.Failure) {
            var work = work
            try work.add(frame.body)
            if frame.hasMore {
                let progress = work.progress
                open = .analysis(work, token: token, sequence: sequence)
                return send(.progress(token: token, done: progress.done, total: progress.total), sequence)
            }
            let body = try work.finish()
            let memory = ProcessMemory.residentBytes()
            return send(.result(token: token, encoding: "json", body: body, residentBytes: memory), sequence)
        } catch {
            if frame.hasMore { open = .answered(sequence: sequence) }
            return send(.fail(token: token, cause: .permanent, message: error.description), sequence)
        }
    }

    private mutating func answer(_ hello: SupervisorMessage.Hello, _ sequence: UInt32) -> CInt? {
        if !hello.versions.contains(1) {
            _ = send(.helloNo(reason: "version 1 is the only one known"), sequence)
            return Exit.protocolError
        }
        encoder = FrameEncoder(bodyBytesMax: hello.frameBytesMax)
        decoder.limits.bodyBytesMax = min(hello.frameBytesMax, FrameLimits.bodyBytesHardMax)
        decoder.givesChunks = true
        var reply = WorkerMessage.HelloOK()
        reply.capabilities = ["cancel", "progress"].filter(hello.capabilities.contains)
        reply.kinds =
            [RollupKind.name] + Analysis.kinds.map { $0.name } + (faults == nil ? [] : FaultKind.names)
        reply.language = "swift"
        return send(.helloOK(reply), sequence)
    }

    private mutating func run(_ job: JobOrder, _ sequence: UInt32) -> CInt? {
        if let faults, FaultKind.names.contains(job.kind) {
            let bytes = faults.run(job, sequence)
            return channel.write(bytes) ? nil : Exit.done
        }
        if isAnalysis(job.kind) {
            var whole = Frame(.job, sequence: sequence)
            whole.body = job.body
            return begin(job, sequence) ?? open.flatMap { go(on: $0, with: whole) }
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
