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
    private typealias Answer = UnsafeContinuation<Result<Kept, IngestError>, Never>

    private struct Waiting: Sendable {
        let submission: Submission
        let since: Deadline
        /// `nil` when nobody waits for it.
        let answer: Answer?
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
    /// Where events go while the database is away; `nil` for nowhere.
    private let lane: SpoolLane?
    private var breaker: BreakerState
    /// Flushes whose outcome nobody has asked for yet.
    private(set) var lostFlushes: Set<UInt64> = []
    private var drainWaiter: UnsafeContinuation<Void, Never>?
    private var spooledAt: Deadline?
    private var finished: [Task<Void, Never>] = []

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(
        writers: sending [Writer],
        limits: BatchLimits,
        lane: SpoolLane?,
        breaker: BreakerLimits,
        loop: EventLoop,
        hooks: WriterHooks,
        metrics: IngestMetrics,
        logger: Logger
    ) {
        self.writers = writers
        self.lane = lane
        self.breaker = BreakerState(limits: breaker, seed: Dice.roll())
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

    /// Stores a submission and returns what became of it.
    ///
    /// With `waits` it waits for room when the queue is full, as a stream does, rather than fail.
    func submit(_ submission: Submission, waits: Bool) async -> Result<Kept, IngestError> {
        if let error = await findRoom(for: submission, waits: waits) { return .failure(error) }
        let wait = CountedWait(for: "a flush")
        defer { wait.end() }
        return await withUnsafeContinuation { add(submission, $0) }
    }

    /// The same, without waiting for what becomes of it.
    func enqueue(_ submission: Submission, waits: Bool) async -> Result<Kept, IngestError> {
        if let error = await findRoom(for: submission, waits: waits) { return .failure(error) }
        add(submission, nil)
        return .success(Kept(submission, .none))
    }

    private func findRoom(for submission: Submission, waits: Bool) async -> IngestError? {
        let weight = submission.weight
        while !state.hasRoom(for: weight, sender: submission.sender) {
            if !waits || isStopping { return .overloaded }
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
        if isFenced { return .fenced }
        if isStopping { return .unavailable("the service is stopping") }
        return nil
    }

    private func add(_ submission: Submission, _ answer: Answer?) {
        state.add(
            Waiting(submission: submission, since: .now(), answer: answer),
            events: submission.events.count,
            bytes: submission.weight,
            sender: submission.sender,
            isAlone: submission.isAlone
        )
        noteFill()
        wakeWriter()
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
        if let lane, !breaker.isClosed {
            await divert(batch, to: lane)
            return
        }
        let started = Deadline.now()
        // They queue in order, so the first has waited longest.
        if let oldest = batch.first { metrics.queued(for: started.duration(since: oldest.since)) }
        var plan = FlushPlan(batch.map(\.submission), recent: recent)
        do throws(IngestError) {
            try await writer.write(&plan, at: started)
            remember(plan)
            breaker.stored()
            metrics.flushed(plan, after: Deadline.now().duration(since: started))
            for (waiting, verdicts) in zip(batch, plan.verdicts) {
                waiting.answer?.resume(returning: .success(Kept(verdicts)))
            }
        } catch {
            await failed(batch, by: writer, error)
        }
    }

    private func failed(_ batch: [Waiting], by writer: Writer, _ error: IngestError) async {
        noteFence(of: writer)
        if case .replayUndone = error {
            // Not a failure: whoever replays looks again at what is left.
            fail(batch, error)
            return
        }
        metrics.flushFailed()
        // What a fenced process has sent is not stored, and what it still takes in nobody would drain soon.
        guard let lane, error != .fenced else {
            logger.warning("events were not stored", metadata: ["reason": "\(error)"])
            fail(batch, error)
            return
        }
        logger.warning("events go to the spool", metadata: ["reason": "\(error)"])
        // At once: a probe that came before must ask for it before this stream goes on.
        if writer.lostFlush != 0 { lostFlushes.insert(writer.lostFlush) }
        // A refusal says nothing of the next flush.
        if case .refused = error {} else { noteFailure() }
        await divert(batch, to: lane, mark: writer.lostFlush)
    }

    private func fail(_ batch: [Waiting], _ error: IngestError) {
        for waiting in batch { waiting.answer?.resume(returning: .failure(error)) }
    }

    // MARK: The spool

    /// Appends a batch to the spool instead of storing it: the one place where that is decided.
    private func divert(_ batch: [Waiting], to lane: SpoolLane, mark: UInt64 = 0) async {
        let submissions = batch.map(\.submission)
        if submissions.contains(where: { $0.replay != nil }) {
            // Alone in its batch. Its events are in the database, as rejects, and stay there.
            fail(batch, .unavailable("the database is away"))
            return
        }
        do throws(IngestError) {
            try await lane.append(submissions, mark: mark)
            metrics.diverted()
            wakeDrain()
            for waiting in batch {
                waiting.answer?.resume(returning: .success(Kept(waiting.submission, .spooled)))
            }
        } catch {
            fail(batch, error)
        }
    }

    /// Says that something was appended to the spool by a request itself.
    func noteSpooled() {
        spooledAt = .now()
        wakeDrain()
    }

    func wakeDrain() {
        let waiter = drainWaiter
        drainWaiter = nil
        waiter?.resume()
    }

    /// Suspends until there may be something to drain, or a probe to make.
    func untilDrainIsDue() async {
        await withUnsafeContinuation { waiter in
            let isDue = nextProbe != nil || lane?.hasEvents ?? false || Task.isCancelled
            if isDue { waiter.resume() } else { drainWaiter = waiter }
        }
    }

    /// Whether draining should leave the machine to those who send events now.
    var prefersPeace: Bool {
        if state.pendingBytes > limits.pendingBytesMax / 4 { return true }
        guard let spooledAt, let lane else { return false }
        return Deadline.now().duration(since: spooledAt) < .milliseconds(250) && !lane.isFull
    }

    // MARK: The breaker

    var nextProbe: Deadline? { breaker.nextProbe }

    nonisolated var isAway: Bool { fill.isAway.load(ordering: .relaxed) }

    func beginProbe() -> Bool { breaker.beginProbe(at: .now()) }

    /// The database is back, and what became of these flushes is known.
    ///
    /// `false` when others were lost meanwhile: flushes stay where they are until it is known of them, too.
    func probeSucceeded(knowing marks: Set<UInt64>) -> Bool {
        forget(marks)
        if !lostFlushes.isEmpty { return false }
        breaker.probeSucceeded()
        fill.isAway.store(!breaker.isClosed, ordering: .relaxed)
        return true
    }

    func probeFailed() {
        breaker.probeFailed(at: .now())
        fill.isAway.store(!breaker.isClosed, ordering: .relaxed)
    }

    /// The database was found away.
    func noteFailure() {
        breaker.failed(at: .now())
        fill.isAway.store(!breaker.isClosed, ordering: .relaxed)
        wakeDrain()
    }

    /// What became of these flushes is known.
    func forget(_ marks: Set<UInt64>) { lostFlushes.subtract(marks) }

    /// Remembers what can come again: not what was made here, nor what PostgreSQL refused and may take next
    /// time.
    private func remember(_ plan: FlushPlan) {
        for row in plan.rows {
            let event = plan.event(of: row)
            if event.isFresh { continue }
            switch plan.verdicts[row.submission][row.event] {
            case .stored, .duplicate: recent.insert(event.identity)
            case .refused, .aborted, .spooled: break
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
    let isAway = Atomic<Bool>(false)
}
