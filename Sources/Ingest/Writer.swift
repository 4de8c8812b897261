import Events
import Logging
import Postgres
import Reactor

/// Where a writer's streams and committed events go; the program joins this to the analytics queue.
package struct WriterHooks: Sendable {
    /// Committed events as job lines, with the seqs `lo..<hi` of the flush; in order for each stream.
    package var stored: @Sendable (_ stream: Int64, _ lo: Int64, _ hi: Int64, _ lines: [UInt8]) -> Void
    /// A job has been cut.
    package var cut: @Sendable () -> Void
    /// This process was declared dead; it must not write any more.
    package var fenced: @Sendable () -> Void

    package init(
        stored: @escaping @Sendable (Int64, Int64, Int64, [UInt8]) -> Void,
        cut: @escaping @Sendable () -> Void,
        fenced: @escaping @Sendable () -> Void
    ) {
        self.stored = stored
        self.cut = cut
        self.fenced = fenced
    }
}

/// Writes one stream of events over a connection of its own.
///
/// One flush at a time: it takes what has queued (``BatchState``), stores it, and answers everyone in it
/// after ReadyForQuery, when PostgreSQL has committed. ``Flush`` knows how a batch gets stored whatever
/// happens.
actor Writer {
    private typealias Answer = CheckedContinuation<Result<[Verdict], IngestError>, Never>

    private struct Waiting: Sendable {
        let submission: Submission
        let answer: Answer
    }

    private let loop: EventLoop
    private let limits: BatchLimits
    private let logger: Logger
    private let hooks: WriterHooks
    private let metrics: IngestMetrics
    private let flush: Flush
    private var state: BatchState<Waiting>
    private var recent: RecentKeys
    private var spaceWaiters: [CheckedContinuation<Void, Never>] = []
    private var idle: CheckedContinuation<Void, Never>?
    private var isStopping = false
    private var isFenced = false
    private var finished: Task<Void, Never>?
    /// Events stored since the last cut, and since when; a cut is due when either is too much.
    private var uncut = 0
    private var uncutSince: Deadline?

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(
        stream: Int64,
        connection: PostgresConnection,
        limits: BatchLimits,
        loop: EventLoop,
        hooks: WriterHooks,
        metrics: IngestMetrics,
        logger: Logger
    ) {
        self.loop = loop
        self.limits = limits
        self.hooks = hooks
        self.metrics = metrics
        self.logger = logger
        flush = Flush(stream: stream, connection: connection, metrics: metrics, logger: logger)
        state = BatchState(limits: limits)
        recent = RecentKeys(capacity: limits.recentKeysMax)
    }

    /// Starts to write; ``stop()`` ends it.
    func start() {
        precondition(finished == nil, "a writer is started once")
        finished = Task(executorPreference: loop) { await self.run() }
    }

    /// Writes what has queued, cuts the rest and ends.
    func stop() async {
        isStopping = true
        wake()
        await finished?.value
    }

    var isFull: Bool { !state.hasRoom(for: 1) }

    /// Stores a submission and returns a verdict for each of its events.
    ///
    /// With `waits` it waits for room when the queue is full, as a stream does, rather than fail.
    func submit(_ submission: Submission, waits: Bool) async -> Result<[Verdict], IngestError> {
        while !state.hasRoom(for: submission.weight) {
            if !waits || isStopping { return .failure(.overloaded) }
            await withCheckedContinuation { waiter in
                // Asked again: other work of the loop may have come in between.
                if state.hasRoom(for: submission.weight) {
                    waiter.resume()
                } else {
                    spaceWaiters.append(waiter)
                }
            }
        }
        if isFenced { return .failure(.fenced) }
        if isStopping { return .failure(.unavailable("the service is stopping")) }
        return await withCheckedContinuation { answer in
            state.add(
                Waiting(submission: submission, answer: answer),
                events: submission.events.count,
                bytes: submission.weight
            )
            wake()
        }
    }

    private func wake() {
        idle?.resume()
        idle = nil
    }

    private func run() async {
        while true {
            if state.isEmpty {
                if isStopping { break }
                if await cutIfDue() { continue }
                await withCheckedContinuation { waiter in
                    if state.isEmpty, !isStopping { idle = waiter } else { waiter.resume() }
                }
                continue
            }
            await write(state.takeBatch())
            for waiter in spaceWaiters { waiter.resume() }
            spaceWaiters = []
        }
        if uncut > 0 { await cut(within: limits.flushTimeout) }
        for waiter in spaceWaiters { waiter.resume() }
        spaceWaiters = []
    }

    private func write(_ batch: [Waiting]) async {
        let started = Deadline.now()
        var plan = FlushPlan(batch.map(\.submission), recent: recent)
        let cuts = isCutDue(at: started, adding: plan.rows.count)
        do throws(IngestError) {
            let stored = try await flush.store(
                &plan,
                cuts: cuts,
                deadline: started.advanced(by: limits.flushTimeout)
            )
            remember(plan)
            noteStored(stored.reduce(0) { $0 + $1.count }, cuts: cuts)
            for part in stored where part.lo < part.hi {
                hooks.stored(flush.stream, part.lo, part.hi, part.lines)
            }
            if cuts { hooks.cut() }
            metrics.flushed(plan, after: Deadline.now().duration(since: started))
            for (waiting, verdicts) in zip(batch, plan.verdicts) {
                waiting.answer.resume(returning: .success(verdicts))
            }
        } catch {
            metrics.flushFailed()
            logger.warning("events were not stored", metadata: ["reason": "\(error)"])
            // Some of it may have been committed all the same, and then a job has to cover it.
            if error == .fenced { fence() } else { noteStored(1, cuts: false) }
            for waiting in batch { waiting.answer.resume(returning: .failure(error)) }
        }
    }

    /// Remembers what can come again: not what was made here, nor what PostgreSQL refused and may take next
    /// time.
    private func remember(_ plan: FlushPlan) {
        for row in plan.rows {
            let event = plan.event(of: row)
            if event.isFresh { continue }
            if case .refused = plan.verdicts[row.submission][row.event] { continue }
            recent.insert(event.identity)
        }
    }

    private func fence() {
        if isFenced { return }
        isFenced = true
        hooks.fenced()
    }

    // MARK: Cutting jobs

    private func isCutDue(at now: Deadline, adding rows: Int) -> Bool {
        if uncut + rows >= limits.cutEventsMax { return true }
        guard let uncutSince else { return false }
        return now.duration(since: uncutSince) >= limits.cutInterval
    }

    private func noteStored(_ rows: Int, cuts: Bool) {
        if cuts {
            uncut = 0
            uncutSince = nil
        } else if rows > 0 {
            uncut += rows
            if uncutSince == nil {
                let now = Deadline.now()
                uncutSince = now
                let due = now.advanced(by: limits.cutInterval)
                // Ends by itself after the interval; a writer that has stopped by then has cut already.
                Task(executorPreference: loop) { await self.remind(at: due) }
            }
        }
    }

    /// Wakes an idle writer for a cut that is due.
    private func remind(at due: Deadline) async {
        await loop.sleep(until: due)
        wake()
    }

    /// Cuts when no flush has done so in time; `false` when none was due.
    private func cutIfDue() async -> Bool {
        guard let uncutSince, !isFenced else { return false }
        guard Deadline.now().duration(since: uncutSince) >= limits.cutInterval else { return false }
        await cut(within: limits.cutTimeout)
        return true
    }

    private func cut(within timeout: Duration) async {
        uncut = 0
        uncutSince = nil
        do throws(IngestError) {
            try await flush.cut(deadline: .after(timeout))
            hooks.cut()
        } catch {
            // The tail stays uncut until the next flush cuts it, or this node's end does.
            logger.warning("a job was not cut", metadata: ["reason": "\(error)"])
            if error == .fenced { fence() } else if !isStopping { noteStored(1, cuts: false) }
        }
    }
}
