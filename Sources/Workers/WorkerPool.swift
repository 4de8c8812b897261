import CoreMetrics
package import Logging
package import Reactor

/// A bounded set of worker processes that run jobs; carries out what ``PoolState`` decides.
///
/// Each ``run(_:)`` returns exactly once. A process that crashes, hangs, floods or talks nonsense costs its
/// own job at most: the slot gets a new process, the neighbours do not notice. Every process has three tasks,
/// which read its replies and its log and await its exit; they end with the process, and ``drain(deadline:)``
/// ends all of those.
package actor WorkerPool {
    nonisolated package let loop: EventLoop
    private let configuration: WorkerPoolConfiguration
    let logger: Logger
    let metrics = WorkerMetrics()
    private let origin = Deadline.now()
    var state: PoolState
    var processes: [Int: WorkerProcess] = [:]
    var pending: [PoolState.Ticket: PendingJob] = [:]
    /// The job that each generation is at.
    var running: [Int: PoolState.Ticket] = [:]
    /// The kinds of job that the workers offer; known once one has booted.
    package internal(set) var kinds: Set<String> = []
    private var timer: (at: Duration, task: Task<Void, Never>)?
    private var freeWaiters: [Int: CheckedContinuation<Void, Never>] = [:]
    private var nextWaiter = 0
    private var downWaiters: [CheckedContinuation<Void, Never>] = []

    /// A job between ``run(_:)`` and its settlement.
    struct PendingJob {
        let job: WorkerJob
        let continuation: CheckedContinuation<WorkerOutcome, Never>
        var sequence: UInt32 = 0
        var generation = 0
        /// Whether its body has not come to its end yet.
        var isFed = false
        /// Why its feed has failed.
        var feedFailure: String?
        var startedAt = Duration.zero
        var done: Int64?
        var total: Int64?
    }

    nonisolated package var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// A pool that starts no process before ``start()``.
    package init(_ configuration: WorkerPoolConfiguration, loop: EventLoop, logger: Logger) {
        self.configuration = configuration
        self.loop = loop
        self.logger = logger
        state = PoolState(size: configuration.size, limits: configuration.limits, seed: configuration.seed)
    }

    // MARK: For the dispatcher

    /// Starts the workers; jobs may be submitted at once and wait for the first that is ready.
    package func start() {
        perform(state.start(now: now))
    }

    /// Runs a job on the next free worker and returns what became of it, after its timeout and the kill at
    /// the most.
    package func run(_ job: WorkerJob) async -> WorkerOutcome {
        // All in the closure: another job of the loop may run between this line and its first.
        await withCheckedContinuation { continuation in
            let (ticket, actions) = state.submit(timeout: job.timeout, now: now)
            pending[ticket] = PendingJob(job: job, continuation: continuation)
            perform(actions)
        }
    }

    /// Stops the job with this id, waiting or running; its `run` returns as for any end.
    package func cancel(jobID: Int64) {
        guard let ticket = pending.first(where: { $0.value.job.id == jobID })?.key else { return }
        perform(state.cancel(ticket, now: now))
    }

    /// Workers that would take a job at once.
    package var freeSlots: Int { state.freeSlots }

    /// Whether the worker command fails to start again and again; jobs come back as drained then.
    package var isBreakerOpen: Bool { state.isBreakerOpen }

    /// Workers that have booted and are not on their way out.
    package var workersUp: Int { state.workersUp }

    /// Returns once a worker is free, the pool drains, or the task is cancelled.
    package func freed() async {
        let id = nextWaiter
        nextWaiter += 1
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if state.freeSlots > 0 || state.isStopping || Task.isCancelled {
                    continuation.resume()
                } else {
                    freeWaiters[id] = continuation
                }
            }
        } onCancel: {
            loop.post { self.assumeIsolated { $0.freeWaiters.removeValue(forKey: id)?.resume() } }
        }
    }

    /// Takes no more jobs, lets running ones go on until `deadline`, then stops them; returns when no worker
    /// is left.
    ///
    /// A second call with an earlier deadline hastens the first.
    package func drain(deadline: Deadline) async {
        perform(state.drain(until: deadline.duration(since: origin), now: now))
        await withCheckedContinuation { continuation in
            if state.hasReportedDown { continuation.resume() } else { downWaiters.append(continuation) }
        }
    }

    /// Kills all workers and starts others, for a node that has been declared dead; running jobs end as
    /// drained.
    package func killAll() {
        perform(state.killAll(now: now))
    }

    /// One entry a slot, in their order.
    package func snapshot() -> [WorkerStatus] {
        let now = now
        return state.slots.enumerated().map { index, slot in
            let process = slot.hasProcess ? processes[slot.generation] : nil
            let job = slot.run.flatMap { pending[$0.ticket] }
            return WorkerStatus(
                slot: index,
                pid: process?.child.pid,
                generation: slot.generation,
                state: slot.phase.name,
                jobID: job?.job.id,
                jobKind: job?.job.kind,
                jobAge: slot.run.map { now - $0.startedAt },
                jobDone: job?.done,
                jobTotal: job?.total,
                jobsDone: slot.jobsDone,
                restarts: slot.restarts,
                age: process.map { Deadline.now().duration(since: $0.startedAt) },
                residentBytes: slot.residentBytes > 0 ? slot.residentBytes : nil
            )
        }
    }

    // MARK: Doing

    var now: Duration { Deadline.now().duration(since: origin) }

    /// Carries out actions.
    ///
    /// `reply` is the outcome that ``PoolState/Settlement/reply`` stands for, `end` the process
    /// whose end the actions follow from.
    func perform(_ actions: [PoolState.Action], reply: WorkerOutcome? = nil, end: PostMortem? = nil) {
        for action in actions { perform(action, reply: reply, end: end) }
        armTimer()
        if !freeWaiters.isEmpty, state.freeSlots > 0 || state.isStopping {
            let waiters = freeWaiters
            freeWaiters = [:]
            for waiter in waiters.values { waiter.resume() }
        }
    }

    private func perform(_ action: PoolState.Action, reply: WorkerOutcome?, end: PostMortem?) {
        switch action {
        case .spawn(let slot, let generation): spawn(slot: slot, generation: generation)
        case .dispatch(let ticket, let generation, let sequence):
            dispatch(ticket, generation: generation, sequence: sequence)
        case .cancel(let generation, let sequence, let reason):
            send(SupervisorMessage.cancelFrame(sequence: sequence, reason: reason), to: generation)
        case .ping(let generation): send(SupervisorMessage.pingFrame(n: now.milliseconds), to: generation)
        case .askToLeave(let generation): send(SupervisorMessage.drainFrame, to: generation)
        case .terminate(let generation): processes[generation]?.terminate()
        case .kill(let generation): processes[generation]?.kill()
        case .abandon(let generation): processes.removeValue(forKey: generation)?.close()
        case .settle(let ticket, .reply): settle(ticket, reply ?? .failed(cause: .error, message: ""))
        case .settle(let ticket, .failed(let cause, let reason)):
            settle(ticket, .failed(cause: cause, message: end?.message(reason: reason) ?? reason))
        case .note(let note): take(note, end: end)
        case .allDown:
            timer?.task.cancel()
            timer = nil
            for waiter in downWaiters { waiter.resume() }
            downWaiters = []
        }
    }

    private func dispatch(_ ticket: PoolState.Ticket, generation: Int, sequence: UInt32) {
        guard let job = pending[ticket]?.job else { return }
        pending[ticket]?.sequence = sequence
        pending[ticket]?.startedAt = now
        pending[ticket]?.generation = generation
        running[generation] = ticket
        send(SupervisorMessage.frame(for: job, sequence: sequence), to: generation)
        guard let feed = job.feed else { return }
        pending[ticket]?.isFed = true
        // Ends with the feed or with the job.
        Task(executorPreference: loop) { await self.feed(ticket, from: feed) }
    }

    /// Hands the body on piece by piece, as fast as the worker takes it.
    private func feed(_ ticket: PoolState.Ticket, from feed: any JobFeed) async {
        while let generation = pending[ticket]?.generation, let process = processes[generation] {
            await process.drained()
            // A feed that always has something and a worker that takes it at once must not keep the loop.
            await loop.nextTurn()
            // What is read for a worker that is gone is for nobody; its exit settles the job.
            if pending[ticket]?.isFed != true || process.isDeaf { return }
            let piece = await feed.next()
            // It may have been settled meanwhile.
            guard let job = pending[ticket], job.isFed else { return }
            switch piece {
            case .bytes(let bytes):
                let frame = SupervisorMessage.pieceFrame(sequence: job.sequence, piece: bytes, isLast: false)
                send(frame, to: generation)
            case .end: return endFeed(ticket)
            case .failed(let reason):
                pending[ticket]?.feedFailure = reason
                perform(state.cancel(ticket, cause: .drained, now: now))
                return endFeed(ticket)
            }
        }
    }

    /// Ends the message that the body is: the next job's must not begin inside it.
    private func endFeed(_ ticket: PoolState.Ticket) {
        guard let job = pending[ticket], job.isFed else { return }
        pending[ticket]?.isFed = false
        let frame = SupervisorMessage.pieceFrame(sequence: job.sequence, piece: [], isLast: true)
        send(frame, to: job.generation)
    }

    private func settle(_ ticket: PoolState.Ticket, _ outcome: WorkerOutcome) {
        let isIncomplete = pending[ticket]?.isFed == true
        endFeed(ticket)
        guard let job = pending.removeValue(forKey: ticket) else { return }
        var outcome = outcome
        if let reason = job.feedFailure {
            outcome = .failed(cause: .drained, message: reason)
        } else if isIncomplete, case .result = outcome {
            outcome = .failed(cause: .error, message: "it answered before it had all of the events")
        }
        metrics.jobs.increment()
        if job.sequence != 0 { metrics.jobSeconds.recordNanoseconds((now - job.startedAt).nanoseconds) }
        job.continuation.resume(returning: outcome)
    }

    func send(_ frame: Frame, to generation: Int) {
        guard let process = processes[generation] else { return }
        // The flush ends with the frames or with the process' pipes. A worker that is gone is seen by its
        // exit.
        if process.send(frame) == .waiting {
            Task(executorPreference: loop) { await self.flush(generation) }
        }
    }

    private func flush(_ generation: Int) async {
        await processes[generation]?.flush()
    }

    private func spawn(slot: Int, generation: Int) {
        do throws(SystemError) {
            let process = try WorkerProcess(
                slot: slot,
                generation: generation,
                configuration: configuration,
                loop: loop
            )
            processes[generation] = process
            begin(process)
        } catch {
            logger.error("worker not started", metadata: ["slot": "\(slot)", "error": "\(error)"])
            // Not from within: the state would change under the actions that are still to be carried out.
            Task(executorPreference: loop) { await self.spawnFailed(generation) }
        }
    }

    private func spawnFailed(_ generation: Int) {
        perform(state.spawnFailed(generation: generation, now: now))
    }

    private func begin(_ process: WorkerProcess) {
        let generation = process.generation
        var hello = SupervisorMessage.Hello()
        hello.capabilities = ["cancel", "progress"]
        hello.frameBytesMax = configuration.limits.frames.bodyBytesMax
        hello.server = configuration.server
        hello.slot = process.slot
        hello.generation = generation
        send(SupervisorMessage.frame(for: hello), to: generation)
        // All three end with the process: its pipes close, it is reaped.
        let replies = Task(executorPreference: loop) { await self.readReplies(generation) }
        let log = Task(executorPreference: loop) { await self.readLog(generation) }
        Task(executorPreference: loop) { await self.awaitExit(generation, readers: [replies, log]) }
    }

    // MARK: Time

    /// Makes sure that the state is asked again when it wants to be.
    ///
    /// An earlier wake-up than needed does no harm, so
    /// jobs that come and go within their time move no timer.
    private func armTimer() {
        guard let wake = state.nextWake else { return }
        if let timer, timer.at <= wake { return }
        timer?.task.cancel()
        let deadline = origin.advanced(by: wake)
        let task = Task(executorPreference: loop) { await self.fire(deadline) }
        timer = (wake, task)
    }

    private func fire(_ deadline: Deadline) async {
        await loop.sleep(until: deadline)
        if Task.isCancelled { return }
        timer = nil
        perform(state.tick(now: now))
    }
}
