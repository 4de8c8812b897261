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
    /// One past the last record that was refused together with others: up to there each is tried alone.
    private var aloneBelow: UInt64 = 0
    /// How often the first record was refused.
    private var refusals = 0
    /// When the records that were let past are tried again.
    private var retryDue = Deadline.now()
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
            } else if lane.spool.facts.withheldEvents > 0, retryDue <= .now() {
                await retryWithheld()
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
            // What is lost while it asks it asks for as well, before that stream goes on.
            var asked = try await ask()
            while await !queue.probeSucceeded(knowing: asked) { asked.formUnion(try await ask()) }
            logger.notice("PostgreSQL is back", metadata: ["spooled": "\(lane.spool.facts.events)"])
        } catch {
            logger.debug("PostgreSQL is still away", metadata: ["reason": "\(error)"])
            await queue.probeFailed()
        }
    }

    /// The same where no flush has failed: at the start, or when a drain has.
    private func open() async {
        do throws(PostgresError) {
            try await connection.ensureConnected(deadline: .after(limits.reconnectPatience))
            await queue.forget(try await ask())
        } catch {
            let level = pause == .zero ? Logger.Level.warning : .debug
            logger.log(level: level, "the spool waits for PostgreSQL", metadata: ["reason": "\(error)"])
            hesitate()
        }
    }

    /// What became of flushes whose outcome is unknown, before their streams go on; and how far the spool has
    /// been drained; returns the flushes.
    private func ask() async throws(PostgresError) -> Set<UInt64> {
        let deadline = Deadline.after(limits.breaker.probe)
        let marks = await queue.lostFlushes.union(lane.spool.pendingMarks)
        for mark in marks.subtracting(committed).sorted() {
            let answer = try await connection.query(
                "SELECT find_flush($1, $2)",
                ["\(mark >> 40)", "\(mark & 0xFF_FFFF_FFFF)"],
                deadline: deadline
            )
            if answer.value == "t" { committed.insert(mark) }
        }
        let position = await lane.spool.position
        await lane.spool.rewind(to: try await openSpool(lane.spool.identity, at: position))
        isOpen = true
        return marks
    }

    /// The database has to be asked before anything is drained: it was away, or something was skipped.
    private func reopen(after error: IngestError) {
        logger.warning("the spool was not drained", metadata: ["reason": "\(error)"])
        isOpen = false
        hesitate()
    }

    // MARK: Draining

    /// Moves the next records; `false` when there are none.
    private func drain() async -> Bool {
        let spool = lane.spool
        guard let batch = await spool.next(bytesMax: limits.drainBytesMax, eventsMax: limits.drainEventsMax)
        else { return false }
        let withheld = Set(await spool.withheldSequences)
        for part in parts(of: batch, without: withheld) {
            if Task.isCancelled { return false }
            if await queue.prefersPeace { await loop.sleep(for: limits.drainPause) }
            var plan = FlushPlan(part.submissions, recent: RecentKeys(capacity: 1))
            plan.drained = part.range
            do throws(IngestError) {
                try await writer.write(&plan, at: .now())
            } catch {
                if case .refused(let state) = error {
                    await refused(part, state)
                } else {
                    reopen(after: error)
                }
                return true
            }
            await spool.drained(to: part.range.to, events: part.events)
            refusals = 0
            metrics.drained(plan)
            // Only from now on it may be tried by itself.
            if part.records.contains(where: { withheld.contains($0.sequence) }) { retryDue = .now() }
        }
        pause = .zero
        return true
    }

    /// PostgreSQL refuses a part, and not for want of anything that comes back by itself: it is tried record
    /// by record, and one that is refused again and again is kept aside, so that those behind it get past.
    private func refused(_ part: Part, _ sqlState: String) async {
        isOpen = false
        guard part.records.count == 1 else {
            aloneBelow = part.range.to
            return
        }
        let record = part.records[0]
        refusals += 1
        let facts: Logger.Metadata = [
            "sqlstate": "\(sqlState)", "sequence": "\(record.sequence)", "events": "\(record.events)",
        ]
        if refusals < limits.refusalsMax {
            logger.warning("PostgreSQL refuses a record of the spool", metadata: facts)
            hesitate()
            return
        }
        do throws(SpoolError) {
            try await lane.spool.withhold(record)
            refusals = 0
            retryDue = .after(limits.withheldRetry)
            logger.error("a record of the spool is withheld and tried again later", metadata: facts)
        } catch {
            logger.error("the spool is blocked by a record that PostgreSQL refuses", metadata: facts)
            hesitate()
        }
    }

    /// Tries again what was let past; each as if it were a spool of its own, which is how the database knows
    /// that it has it.
    private func retryWithheld() async {
        let spool = lane.spool
        // One whose segment is still to be drained there is not let go before: it would come twice.
        let position = await spool.position
        for sequence in await spool.withheldSequences where sequence < position {
            if Task.isCancelled { return }
            guard let record = await spool.withheldRecord(sequence),
                let submission = SubmissionCodec.decode(record.payload)
            else {
                logger.error("a withheld record cannot be read", metadata: ["sequence": "\(sequence)"])
                continue
            }
            let own = DrainedRange(
                spool: spool.identity &+ UInt128(sequence) &+ 1,
                from: 0,
                to: 1,
                isCounted: committed.contains(record.mark)
            )
            do throws(IngestError) {
                guard try await isStored(own) == false else {
                    await spool.release(sequence)
                    continue
                }
                var plan = FlushPlan([submission], recent: RecentKeys(capacity: 1))
                plan.drained = own
                try await writer.write(&plan, at: .now())
                await spool.release(sequence)
                metrics.drained(plan)
            } catch {
                if case .refused = error { continue }
                reopen(after: error)
                return
            }
        }
        retryDue = .after(limits.withheldRetry)
    }

    /// Whether a record of its own was stored by an earlier try.
    private func isStored(_ own: DrainedRange) async throws(IngestError) -> Bool {
        do throws(PostgresError) {
            return try await openSpool(own.spool, at: own.from) >= own.to
        } catch {
            throw .unavailable(error.tag)
        }
    }

    /// Tells the database of a spool; returns how far it has been drained.
    private func openSpool(_ spool: UInt128, at position: UInt64) async throws(PostgresError) -> UInt64 {
        let answer = try await connection.query(
            "SELECT open_spool($1::uuid, $2)",
            [String(decoding: formatUUID(spool), as: UTF8.self), "\(position)"],
            deadline: .after(limits.breaker.probe)
        )
        return answer.value.flatMap { UInt64($0) } ?? position
    }

    private struct Part {
        var records: [SpooledRecord] = []
        var submissions: [Submission] = []
        var range: DrainedRange

        var events: Int { records.reduce(0) { $0 + $1.events } }
    }

    /// A batch in transactions: an atomic request's events alone, and each record alone where one is refused.
    ///
    /// Of a record that is withheld nothing is stored here; only the position moves behind it.
    private func parts(of batch: SpoolBatch, without withheld: Set<UInt64>) -> [Part] {
        let isCounted = batch.records.first.map { committed.contains($0.mark) } ?? false
        var parts: [Part] = []
        var mayJoin = false
        var from = batch.from
        for (index, record) in batch.records.enumerated() {
            let isLast = index == batch.records.count - 1
            let to = isLast ? batch.to : batch.records[index + 1].sequence
            let submission = withheld.contains(record.sequence) ? nil : submission(of: record)
            let isAlone = submission?.isAtomic ?? false || record.sequence < aloneBelow
            if !mayJoin || isAlone { parts.append(Part(range: range(from, to, isCounted))) }
            let last = parts.count - 1
            parts[last].records.append(record)
            parts[last].range.to = to
            if let submission { parts[last].submissions.append(submission) }
            mayJoin = !isAlone
            from = to
        }
        if batch.records.isEmpty { parts.append(Part(range: range(batch.from, batch.to, false))) }
        return parts
    }

    private func submission(of record: SpooledRecord) -> Submission? {
        let submission = SubmissionCodec.decode(record.payload)
        if submission == nil {
            logger.error(
                "a record of the spool is of another version",
                metadata: ["sequence": "\(record.sequence)"]
            )
        }
        return submission
    }

    private func range(_ from: UInt64, _ to: UInt64, _ isCounted: Bool) -> DrainedRange {
        DrainedRange(spool: lane.spool.identity, from: from, to: to, isCounted: isCounted)
    }
}
