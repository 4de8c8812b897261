import Events
import Logging
import Postgres
import Reactor
import Spool

/// Finds out when the database is back, and moves what the spool has kept meanwhile into it.
///
/// On connections and with a stream of its own, so that live events wait for none of it; in transactions of
/// bounded size, each of which moves the spool's position in the database too. So what was drained is counted
/// once, whatever dies in between, and the spool's own position is but a copy.
actor SpoolDrain {
    private let loop: EventLoop
    private let lane: SpoolLane
    private let queue: WriteQueue
    private let writer: Writer
    private let connection: PostgresConnection
    private let limits: DiversionLimits
    private let metrics: IngestMetrics
    private let logger: Logger
    /// Whether the database has told the spool's position since it was last away.
    private var isOpen = false
    /// Marks of flushes that were committed after all.
    private var committed: Set<UInt64> = []
    /// Before the next try, after one that failed.
    private var pause = Duration.zero
    private var running: Task<Void, Never>?

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(
        _ lane: SpoolLane,
        queue: WriteQueue,
        writer: sending Writer,
        connection: PostgresConnection,
        limits: DiversionLimits,
        metrics: IngestMetrics,
        loop: EventLoop,
        logger: Logger
    ) {
        self.lane = lane
        self.queue = queue
        self.writer = writer
        self.connection = connection
        self.limits = limits
        self.metrics = metrics
        self.loop = loop
        self.logger = logger
    }

    /// Begins to drain; ``stop()`` ends it.
    func start() {
        precondition(running == nil, "a drain is started once")
        running = Task(executorPreference: loop) { await self.run() }
    }

    /// Ends after the transaction under way, and cuts the rest.
    func stop() async {
        running?.cancel()
        await queue.wakeDrain()
        await running?.value
        await writer.finish()
        await connection.close()
    }

    private func run() async {
        while !Task.isCancelled {
            if pause > .zero { await loop.sleep(for: pause) }
            if let due = await queue.nextProbe {
                await loop.sleep(until: due)
                await probe()
            } else if !isOpen {
                await open()
            } else if await drain() {
                continue
            } else if let due = writer.takeReminder() {
                await loop.sleep(until: due)
                _ = await writer.cutIfDue()
            } else {
                // What is there and cannot be read now may be readable later.
                if lane.hasEvents { hesitate() } else { await queue.untilDrainIsDue() }
            }
        }
    }

    private func hesitate() {
        pause = min(max(pause * 2, limits.breaker.pauseMin), limits.breaker.pauseMax)
    }

    // MARK: Finding out

    private func probe() async {
        guard await queue.beginProbe() else { return }
        isOpen = false
        do throws(PostgresError) {
            try await connection.connect(deadline: .after(limits.breaker.probe))
            try await ask()
            await queue.probeEnded(succeeded: true)
            logger.notice("PostgreSQL is back", metadata: ["spooled": "\(lane.spool.facts.events)"])
        } catch {
            logger.debug("PostgreSQL is still away", metadata: ["reason": "\(error)"])
            await queue.probeEnded(succeeded: false)
        }
    }

    /// The same where no flush has failed: at the start, or when a drain has.
    private func open() async {
        do throws(PostgresError) {
            try await connection.ensureConnected(deadline: .after(limits.reconnectPatience))
            try await ask()
        } catch {
            let level = pause == .zero ? Logger.Level.warning : .debug
            logger.log(level: level, "the spool waits for PostgreSQL", metadata: ["reason": "\(error)"])
            hesitate()
        }
    }

    /// What became of flushes whose outcome is unknown, before their streams go on; and how far the spool has
    /// been drained.
    private func ask() async throws(PostgresError) {
        let deadline = Deadline.after(limits.breaker.probe)
        let marks = await queue.lostFlushes.union(lane.spool.pendingMarks)
        for mark in marks.subtracting(committed) {
            let answer = try await connection.query(
                "SELECT find_flush($1, $2)",
                ["\(mark >> 40)", "\(mark & 0xFF_FFFF_FFFF)"],
                deadline: deadline
            )
            if answer.value == "t" { committed.insert(mark) }
        }
        let position = await lane.spool.position
        let answer = try await connection.query(
            "SELECT open_spool($1::uuid, $2)",
            [String(decoding: formatUUID(lane.spool.identity), as: UTF8.self), "\(position)"],
            deadline: deadline
        )
        await lane.spool.rewind(to: answer.value.flatMap { UInt64($0) } ?? position)
        await queue.forget(marks)
        isOpen = true
    }

    // MARK: Draining

    /// Moves the next records; `false` when there are none.
    private func drain() async -> Bool {
        let spool = lane.spool
        guard let batch = await spool.next(bytesMax: limits.drainBytesMax, eventsMax: limits.drainEventsMax)
        else { return false }
        for part in parts(of: batch) {
            if Task.isCancelled { return false }
            if await queue.prefersPeace { await loop.sleep(for: limits.drainPause) }
            var plan = FlushPlan(part.submissions, recent: RecentKeys(capacity: 1))
            plan.drained = part.range
            do throws(IngestError) {
                try await writer.write(&plan, at: .now())
            } catch {
                logger.warning("the spool was not drained", metadata: ["reason": "\(error)"])
                isOpen = false
                hesitate()
                return true
            }
            await spool.drained(to: part.range.to, events: part.events)
            metrics.drained(plan)
        }
        pause = .zero
        return true
    }

    private struct Part {
        var submissions: [Submission]
        var range: DrainedRange
        var events: Int
    }

    /// A batch in transactions: an atomic request's events alone.
    private func parts(of batch: SpoolBatch) -> [Part] {
        let isCounted = batch.records.first.map { committed.contains($0.mark) } ?? false
        var parts: [Part] = []
        var from = batch.from
        var mayJoin = false
        for (index, record) in batch.records.enumerated() {
            let isLast = index == batch.records.count - 1
            let to = isLast ? batch.to : batch.records[index + 1].sequence
            let submission = SubmissionCodec.decode(record.payload)
            if submission == nil {
                logger.error(
                    "a record of the spool is of another version",
                    metadata: ["sequence": "\(record.sequence)"]
                )
            }
            let isAtomic = submission?.isAtomic ?? false
            let submissions = submission.map { [$0] } ?? []
            if mayJoin, !isAtomic {
                let last = parts.removeLast()
                from = last.range.from
                parts.append(
                    Part(
                        submissions: last.submissions + submissions,
                        range: range(from, to, isCounted),
                        events: last.events + record.events
                    )
                )
            } else {
                parts.append(
                    Part(submissions: submissions, range: range(from, to, isCounted), events: record.events)
                )
            }
            mayJoin = !isAtomic
            from = to
        }
        if batch.records.isEmpty {
            parts.append(Part(submissions: [], range: range(batch.from, batch.to, false), events: 0))
        }
        return parts
    }

    private func range(_ from: UInt64, _ to: UInt64, _ isCounted: Bool) -> DrainedRange {
        DrainedRange(spool: lane.spool.identity, from: from, to: to, isCounted: isCounted)
    }
}
