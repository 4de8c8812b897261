import Events
import Logging
import Postgres
import Reactor
import Synchronization

/// All that waits to be written by this process, and the writers that take from it.
///
/// One queue for all of them, so that the copies of a retry meet in one memory of keys, and so that a quiet
/// service commits few large batches rather than many small ones: a second writer begins only when what has
/// queued behind the first is worth a transaction of its own (``BatchLimits/parallelEventsMin``).
actor WriteQueue {
    private typealias Answer = UnsafeContinuation<Result<[Verdict], IngestError>, Never>

    private struct Waiting: Sendable {
        let submission: Submission
        let since: Deadline
        let answer: Answer
    }

    private let loop: EventLoop
    private let limits: BatchLimits
    private let logger: Logger
    private let hooks: WriterHooks
    private let metrics: IngestMetrics
    private let writers: [Writer]
    private let fill = QueueFill()
    private var state: BatchState<Waiting>
    private var recent: RecentKeys
    private var flushing = 0
    private var spaceWaiters: [UnsafeContinuation<Void, Never>] = []
    private var isStopping = false
    private var isFenced = false
    private var finished: [Task<Void, Never>] = []

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(
        writers: sending [Writer],
        limits: BatchLimits,
        loop: EventLoop,
        hooks: WriterHooks,
        metrics: IngestMetrics,
        logger: Logger
    ) {
        self.writers = writers
        self.loop = loop
        self.limits = limits
        self.hooks = hooks
        self.metrics = metrics
        self.logger = logger
        state = BatchState(limits: limits)
        recent = RecentKeys(capacity: limits.recentKeysMax)
    }

    /// Lets the writers write; ``stop()`` ends them.
    func start() {
        precondition(finished.isEmpty, "a queue is started once")
        finished = writers.indices.map { index in
            Task(executorPreference: loop) { await self.run(index) }
        }
    }

    /// Writes what has queued, cuts the rest and ends.
    func stop() async {
        isStopping = true
        for writer in writers { writer.wake() }
        for task in finished { await task.value }
        makeRoom()
    }

    /// Whether a small request would be refused; from any thread.
    nonisolated var isFull: Bool { pendingBytes >= limits.pendingBytesMax }

    /// Bytes that wait to be written; from any thread.
    nonisolated var pendingBytes: Int { fill.bytes.load(ordering: .relaxed) }

    /// Stores a submission and returns a verdict for each of its events.
    ///
    /// With `waits` it waits for room when the queue is full, as a stream does, rather than fail.
    func submit(_ submission: Submission, waits: Bool) async -> Result<[Verdict], IngestError> {
        let weight = submission.weight
        while !state.hasRoom(for: weight, sender: submission.sender) {
            if !waits || isStopping { return .failure(.overloaded) }
            let wait = CountedWait(for: "room in the queue")
            defer { wait.end() }
            await withUnsafeContinuation { waiter in
                // Asked again: other work of the loop may have come in between.
                if state.hasRoom(for: weight, sender: submission.sender) || isStopping {
                    waiter.resume()
                } else {
                    spaceWaiters.append(waiter)
                }
            }
        }
        if isFenced { return .failure(.fenced) }
        if isStopping { return .failure(.unavailable("the service is stopping")) }
        let wait = CountedWait(for: "a flush")
        defer { wait.end() }
        return await withUnsafeContinuation { answer in
            state.add(
                Waiting(submission: submission, since: .now(), answer: answer),
                events: submission.events.count,
                bytes: weight,
                sender: submission.sender,
                isAlone: submission.isAlone
            )
            noteFill()
            wakeWriter()
        }
    }

    private func noteFill() { fill.bytes.store(state.pendingBytes, ordering: .relaxed) }

    private func makeRoom() {
        if spaceWaiters.isEmpty { return }
        let waiters = spaceWaiters
        spaceWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    // MARK: Writing

    /// Whether a writer that is free has something to do.
    private var isDue: Bool { flushing == 0 ? !state.isEmpty : state.isWorthParallelWrite }

    private func wakeWriter() {
        if isDue, let idle = writers.first(where: { $0.isIdle }) { idle.wake() }
    }

    private func run(_ index: Int) async {
        let writer = writers[index]
        await writer.prepare()
        while true {
            if isDue {
                await write(by: writer)
                makeRoom()
                continue
            }
            // What is left to a writer that is under way, it takes before it ends.
            if isStopping { break }
            if await writer.cutIfDue() {
                noteFence(of: writer)
                continue
            }
            if let due = writer.takeReminder() {
                // Ends by itself after the interval; a writer that has stopped by then has cut already.
                Task(executorPreference: loop) { await self.wake(index, at: due) }
            }
            await withUnsafeContinuation { waiter in
                if isDue || isStopping { waiter.resume() } else { writer.rest(waiter) }
            }
        }
        await writer.finish()
        noteFence(of: writer)
    }

    private func wake(_ index: Int, at due: Deadline) async {
        await loop.sleep(until: due)
        writers[index].wake()
    }

    private func write(by writer: Writer) async {
        let batch = state.takeBatch()
        noteFill()
        flushing += 1
        defer { flushing -= 1 }
        wakeWriter()
        let started = Deadline.now()
        // They queue in order, so the first has waited longest.
        if let oldest = batch.first { metrics.queued(for: started.duration(since: oldest.since)) }
        var plan = FlushPlan(batch.map(\.submission), recent: recent)
        do throws(IngestError) {
            try await writer.write(&plan, at: started)
            remember(plan)
            metrics.flushed(plan, after: Deadline.now().duration(since: started))
            for (waiting, verdicts) in zip(batch, plan.verdicts) {
                waiting.answer.resume(returning: .success(verdicts))
            }
        } catch {
            if case .replayUndone = error {
                // Not a failure: whoever replays looks again at what is left.
            } else {
                metrics.flushFailed()
                logger.warning("events were not stored", metadata: ["reason": "\(error)"])
            }
            noteFence(of: writer)
            for waiting in batch { waiting.answer.resume(returning: .failure(error)) }
        }
    }

    /// Remembers what can come again: not what was made here, nor what PostgreSQL refused and may take next
    /// time.
    private func remember(_ plan: FlushPlan) {
        for row in plan.rows {
            let event = plan.event(of: row)
            if event.isFresh { continue }
            switch plan.verdicts[row.submission][row.event] {
            case .stored, .duplicate: recent.insert(event.identity)
            case .refused, .aborted: break
            }
        }
    }

    private func noteFence(of writer: Writer) {
        guard writer.isFenced, !isFenced else { return }
        isFenced = true
        hooks.fenced()
    }
}

/// Bytes in the queue, for requests on any loop.
private final class QueueFill: Sendable {
    let bytes = Atomic<Int>(0)
}
