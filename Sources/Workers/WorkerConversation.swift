import CoreMetrics
import Logging
import Reactor

/// What is left of a process that has ended.
struct PostMortem {
    let slot: Int
    let pid: Int32
    let status: ExitStatus
    let logTail: String

    /// For the job that it took along: short, with the end of what the process printed.
    func message(reason: String) -> String {
        let head = "worker \(slot) (pid \(pid)): \(reason); \(status.text)"
        let tail = logTail.isEmpty ? "" : "\nits last output:\n\(logTail)"
        return (head + tail).truncated(to: WorkerMessage.messageBytesMax)
    }
}

extension ExitStatus {
    /// With the signal's usual name.
    var text: String {
        guard case .signaled(let signal) = self else { return description }
        let names: [Int32: String] = [
            1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
            9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM", 24: "SIGXCPU", 31: "SIGSYS",
        ]
        return names[signal].map { "\(description) (\($0))" } ?? description
    }
}

/// The pool's side of the pipes: what workers say, and their ends.
extension WorkerPool {
    // MARK: Replies

    /// Reads until the stream ends or makes no sense any more.
    func readReplies(_ generation: Int) async {
        while let process = processes[generation] {
            switch await process.read() {
            case .frames(let frames):
                for frame in frames where !receive(frame, from: process) {
                    process.closeReplies()
                    return
                }
            case .end(let isTruncated):
                if isTruncated {
                    logger.warning("worker's last frame is incomplete", metadata: metadata(process))
                }
                perform(state.outputEnded(generation: generation, now: now))
                return
            case .violation(let error):
                violated(process, error.detail)
                process.closeReplies()
                return
            }
        }
    }

    /// Takes in one message; `false` when nothing more may be believed.
    private func receive(_ frame: Frame, from process: WorkerProcess) -> Bool {
        let sequence = frame.sequence
        let message: WorkerMessage
        do throws(MessageError) {
            message = try WorkerMessage(frame)
        } catch {
            return violated(process, error.detail)
        }
        if !process.hasHandshake { return shakeHands(message, process) }
        let generation = process.generation
        switch message {
        case .helloOK, .helloNo: return violated(process, "a second HELLO_OK")
        case .result(let token, let encoding, let body, let resident):
            settle(process, sequence, token, .result(encoding: encoding, body: body), resident: resident)
        case .fail(let token, let cause, let text):
            settle(process, sequence, token, .failed(cause: cause, message: text), failure: cause)
        case .progress(let token, let done, let total):
            progress(process, sequence, token, done: done, total: total)
        case .pong(_, let resident?):
            perform(state.reported(generation: generation, residentBytes: resident, now: now))
        case .pong(_, nil): break
        case .log(let level, let text): log(level, text, from: process)
        case .bye: perform(state.saidBye(generation: generation, now: now))
        // Neither is offered in HELLO; a later version of the protocol may send them.
        case .partial, .unknown: metrics.framesDropped.increment()
        }
        return !process.isDistrusted
    }

    private func shakeHands(_ message: WorkerMessage, _ process: WorkerProcess) -> Bool {
        switch message {
        case .helloOK(let hello):
            if hello.version != 1 { return violated(process, "version \(hello.version) was not offered") }
            process.shakeHands()
            kinds = Set(hello.kinds)
            logger.debug(
                "worker ready",
                metadata: metadata(process).merging(["lang": "\(hello.language)", "kinds": "\(hello.kinds)"])
                { $1 }
            )
            let canCancel = hello.capabilities.contains("cancel")
            perform(state.ready(generation: process.generation, canCancel: canCancel, now: now))
            return true
        case .helloNo(let reason):
            logger.error(
                "worker refuses the protocol's version",
                metadata: metadata(process).merging(["reason": "\(reason)"]) { $1 }
            )
            process.isDistrusted = true
            perform(state.refused(generation: process.generation, reason: reason, now: now))
            return false
        case .result, .fail, .progress, .partial, .pong, .log, .bye, .unknown:
            return violated(process, "its first frame is not HELLO_OK")
        }
    }

    /// Gives the worker up for what it said; returns `false` for the reader to stop by.
    @discardableResult
    private func violated(_ process: WorkerProcess, _ reason: String) -> Bool {
        var fields = metadata(process)
        fields["reason"] = "\(reason)"
        if !process.hasHandshake {
            fields["first_bytes"] = "\(String(decoding: process.firstBytes, as: UTF8.self))"
        }
        logger.error("worker broke the protocol", metadata: fields)
        process.isDistrusted = true
        perform(state.violated(generation: process.generation, reason: "protocol error: \(reason)", now: now))
        return false
    }

    private func settle(
        _ process: WorkerProcess,
        _ sequence: UInt32,
        _ token: Int64,
        _ outcome: WorkerOutcome,
        failure: FailureCause? = nil,
        resident: Int64? = nil
    ) {
        let generation = process.generation
        let isTokenRight = running[generation].flatMap { pending[$0] }?.job.token == token
        let actions = state.reply(
            generation: generation,
            sequence: sequence,
            isTokenRight: isTokenRight,
            failure: failure,
            residentBytes: resident,
            now: now
        )
        if actions.contains(.kill(generation: generation)) {
            logger.error("worker answered one job twice", metadata: metadata(process))
            process.isDistrusted = true
        }
        perform(actions, reply: outcome)
    }

    private func progress(
        _ process: WorkerProcess,
        _ sequence: UInt32,
        _ token: Int64,
        done: Int64,
        total: Int64
    ) {
        guard let ticket = running[process.generation], let job = pending[ticket], job.sequence == sequence,
            job.job.token == token
        else {
            metrics.framesDropped.increment()
            return
        }
        pending[ticket]?.done = done
        pending[ticket]?.total = total
    }

    // MARK: Log

    /// Reads standard output and error to their end, whatever comes: a full pipe would block the worker.
    func readLog(_ generation: Int) async {
        while let process = processes[generation] {
            let lines = await process.readLog()
            for line in lines ?? process.lastLogLines() {
                logger.info("worker output", metadata: metadata(process).merging(["line": "\(line)"]) { $1 })
            }
            let dropped = process.takeDroppedLogBytes()
            if dropped > 0 { metrics.logBytesDropped.increment(by: dropped) }
            if lines == nil { return }
        }
    }

    private func log(_ level: String, _ text: String, from process: WorkerProcess) {
        guard process.admitsLogFrame() else {
            metrics.logFramesDropped.increment()
            return
        }
        logger.log(level: Logger.Level(rawValue: level) ?? .info, "\(text)", metadata: metadata(process))
    }

    private func metadata(_ process: WorkerProcess) -> Logger.Metadata {
        var fields: Logger.Metadata = ["slot": "\(process.slot)", "pid": "\(process.child.pid)"]
        if let ticket = running[process.generation], let job = pending[ticket] {
            fields["job_id"] = "\(job.job.id)"
            if let traceID = job.job.traceID { fields["trace_id"] = "\(traceID)" }
        }
        return fields
    }

    // MARK: Ends

    /// Waits for the exit, reads what is left in the pipes, and only then says that the process is gone: a
    /// result that was written before the end counts.
    func awaitExit(_ generation: Int, readers: [Task<Void, Never>]) async {
        guard let process = processes[generation] else { return }
        let status = await process.child.waitForExit()
        process.killOrphans()
        let closer = Task(executorPreference: loop) { await self.closeLater(generation) }
        for reader in readers { await reader.value }
        closer.cancel()
        process.close()
        processes[generation] = nil
        let end = PostMortem(
            slot: process.slot,
            pid: process.child.pid,
            status: status,
            logTail: process.logTail(atMost: WorkerMessage.messageBytesMax / 2)
        )
        perform(state.gone(generation: generation, now: now), end: end)
        running[generation] = nil
    }

    /// A grandchild in a session of its own may hold the pipes open; nobody waits for it.
    private func closeLater(_ generation: Int) async {
        await loop.sleep(for: state.limits.pipeGrace)
        if !Task.isCancelled { processes[generation]?.close() }
    }

    /// Counts and logs what the state has noticed.
    func take(_ note: PoolState.Note, end: PostMortem?) {
        var fields: Logger.Metadata = [:]
        if let end {
            fields = ["slot": "\(end.slot)", "pid": "\(end.pid)", "status": "\(end.status.text)"]
        }
        switch note {
        case .restarted: metrics.restarts.increment()
        case .recycled: metrics.recycled.increment()
        case .frameDropped: metrics.framesDropped.increment()
        case .crashed:
            metrics.crashes.increment()
            logger.error("worker crashed", metadata: fields)
        case .timedOut:
            metrics.timeouts.increment()
            logger.warning("worker's job timed out", metadata: fields)
        case .bootFailed:
            metrics.bootFailures.increment()
            if let end { fields["output"] = "\(end.logTail)" }
            logger.error("worker did not start", metadata: fields)
        case .unreapable(let generation):
            metrics.unreapable.increment()
            logger.critical("worker survives SIGKILL", metadata: ["generation": "\(generation)"])
        case .breakerOpened:
            metrics.breakerOpen.set(1)
            logger.critical("workers fail to start: jobs are given back until one does")
        case .breakerClosed:
            metrics.breakerOpen.set(0)
            logger.notice("workers start again")
        }
    }
}

extension Slot.Phase {
    var name: WorkerStatus.State {
        switch self {
        case .down: .down
        case .backoff: .backoff
        case .booting: .booting
        case .idle: .idle
        case .busy: .busy
        case .draining: .draining
        case .dying: .dying
        }
    }
}
