import CoreMetrics
package import Logging
import Postgres
package import Reactor
import Workers

/// Claims jobs, has them run, and reports what became of them; when to claim is ``DispatchState``'s to
/// decide.
///
/// One task asks the queue; each claimed job has a task of its own, from the claim until its end is known to
/// the database. So `held` is all that this node may hold a lease of, and what the database says beyond that
/// is given back.
package actor Dispatcher {
    /// Where the dispatcher gets its work from and hands it to.
    package struct Parts: Sendable {
        package let epoch: String
        package let queue: JobQueue
        package let cache: EventCache
        package let reader: EventReader
        package let runner: any JobRunner
        package let applier: Applier

        /// Names them.
        package init(
            epoch: String,
            queue: JobQueue,
            cache: EventCache,
            reader: EventReader,
            runner: any JobRunner,
            applier: Applier
        ) {
            self.epoch = epoch
            self.queue = queue
            self.cache = cache
            self.reader = reader
            self.runner = runner
            self.applier = applier
        }
    }

    nonisolated private let loop: EventLoop
    private let parts: Parts
    private let limits: JobsLimits
    private let logger: Logger
    private let metrics = JobsMetrics()
    private let origin = Deadline.now()
    private var state: DispatchState
    private var held: Set<LeaseID> = []
    /// Of those, the ones that no worker has finished.
    private var underWay = 0
    private var looping: Task<Void, Never>?
    private var nap: Task<Void, Never>?
    private var awaitingFree: Task<Void, Never>?
    private var isWoken = false
    private var isStopping = false
    /// After which failures are not reported any more; others find the leases.
    private var stopAt = Deadline.never

    nonisolated package var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// A dispatcher that claims nothing before ``start()``.
    package init(_ parts: Parts, limits: JobsLimits = JobsLimits(), loop: EventLoop, logger: Logger) {
        self.parts = parts
        self.limits = limits
        self.loop = loop
        self.logger = logger
        state = DispatchState(limits: limits.dispatch)
    }

    /// Jobs that this node holds: waiting, running, or on their way to the database.
    package var jobsHeld: Int { held.count }

    // MARK: Life

    /// Begins to claim.
    package func start() {
        if looping != nil || isStopping { return }
        // Ended by stopClaiming().
        looping = Task(executorPreference: loop) { await self.dispatchOn() }
    }

    /// Says that there may be jobs now; from any thread.
    nonisolated package func wake() {
        loop.post { self.assumeIsolated { $0.signal() } }
    }

    /// Claims no more; what is held goes on, but for jobs that no worker has got yet.
    package func stopClaiming() async {
        isStopping = true
        awaitingFree?.cancel()
        signal()
        await looping?.value
    }

    /// Waits until the end of every held job is known to the database, or until the deadline.
    package func finish(deadline: Deadline) async {
        await stopClaiming()
        stopAt = min(stopAt, deadline)
        while !held.isEmpty, Deadline.now() < deadline { await pause(until: deadline) }
    }

    /// Gives everything up: this node's leases are over.
    package func halt() {
        isStopping = true
        stopAt = .now()
        awaitingFree?.cancel()
        signal()
    }

    // MARK: Claiming

    private var now: Duration { Deadline.now().duration(since: origin) }

    private func dispatchOn() async {
        while !isStopping {
            do throws(PostgresError) {
                try await askQueue()
            } catch {
                let isNews = state.databaseFailed(isOutcomeUnknown: error.isOutcomeUnknown, now: now)
                if isNews { logger.notice("the queue does not answer", metadata: ["error": "\(error)"]) }
            }
            await awaitFreeWorker()
            if !isStopping { await pause(until: .after(state.pause())) }
        }
    }

    private func askQueue() async throws(PostgresError) {
        if state.promotionIsDue(now: now) { _ = try await parts.queue.promote() }
        if state.reconciliationIsDue(now: now) { try await giveBackUnknown() }
        while !isStopping, let claim = await nextClaim() {
            let jobs = try await parts.queue.claim(
                claim.count,
                epoch: parts.epoch,
                ignoresPriority: claim.ignoresPriority
            )
            state.claimed(jobs.count)
            metrics.claimed.increment(by: jobs.count)
            for job in jobs { begin(job) }
            if jobs.count < claim.count { return }
        }
    }

    private func nextClaim() async -> DispatchState.Claim? {
        let workersUp = await parts.runner.workersUp
        let isBacklogged = await parts.applier.isFull
        return state.nextClaim(
            workersUp: workersUp,
            underWay: underWay,
            isBacklogged: isBacklogged,
            now: now
        )
    }

    /// Leases of this epoch that nobody here holds: a claim's answer was lost on its way.
    private func giveBackUnknown() async throws(PostgresError) {
        let leases = try await parts.queue.leases(of: parts.epoch)
        let unknown = leases.filter { !held.contains($0) }
        if unknown.isEmpty { return }
        logger.notice("giving back leases of lost claims", metadata: ["count": "\(unknown.count)"])
        let failures = unknown.map {
            FailedLease(id: $0, cause: .drained, message: "the claim's answer was lost")
        }
        _ = try await parts.queue.fail(failures)
    }

    // MARK: Waiting

    private func signal() {
        isWoken = true
        state.woken()
        nap?.cancel()
    }

    private func pause(until deadline: Deadline) async {
        if !isWoken {
            // Ends at the deadline, or when a signal cancels it.
            let sleeping = Task(executorPreference: loop) { await self.loop.sleep(until: deadline) }
            nap = sleeping
            await sleeping.value
            nap = nil
        }
        isWoken = false
    }

    /// Has the first worker that boots or is freed wake the dispatcher, when all are busy or down.
    private func awaitFreeWorker() async {
        if awaitingFree != nil || isStopping { return }
        if await parts.runner.freeSlots > 0 || isStopping { return }
        // Ends when a worker is free, or by stopClaiming().
        awaitingFree = Task(executorPreference: loop) { await self.signalWhenFreed() }
    }

    private func signalWhenFreed() async {
        let runner = parts.runner
        await runner.freed()
        awaitingFree = nil
        if !Task.isCancelled { signal() }
    }

    // MARK: One job

    private enum End: Sendable {
        case result(JobResult)
        case failed(LeaseFailure, String)
    }

    private func begin(_ job: LeasedJob) {
        held.insert(job.id)
        underWay += 1
        // Ends with the job: when the database knows its end, or at `stopAt`.
        Task(executorPreference: loop) { await self.carryOut(job) }
    }

    private func carryOut(_ job: LeasedJob) async {
        let claimedAt = now
        let end = await work(on: job)
        underWay -= 1
        signal()
        switch end {
        case .result(let result):
            switch await parts.applier.apply(result) {
            case .applied: metrics.lagSeconds.recordNanoseconds((job.age + (now - claimedAt)).nanoseconds)
            case .stale, .dropped: break
            case .refused(let reason): await report(job, .permanent, "the result was refused: \(reason)")
            }
        case .failed(let cause, let message): await report(job, cause, message)
        }
        held.remove(job.id)
        if isStopping { signal() }
    }

    private func work(on job: LeasedJob) async -> End {
        if isStopping { return .failed(.drained, "the node stops") }
        let events: EventBatch
        do throws(PostgresError) {
            guard let found = try await findEvents(of: job) else {
                return .failed(.permanent, "its events exceed \(limits.dispatch.jobBytesMax) bytes")
            }
            events = found
        } catch {
            state.pushedBack(now: now)
            return .failed(.drained, "its events could not be read: \(error)")
        }
        // Its numbers may all have gone to events that turned out to be duplicates.
        if events.items == 0 { return .result(JobResult(empty: job)) }
        let outcome = await parts.runner.run(
            WorkerJob(
                id: job.id.job,
                token: job.id.token,
                kind: job.kind,
                timeout: job.timeout,
                attempt: job.attempt,
                crashes: job.crashes,
                items: events.items,
                lo: job.lo,
                hi: job.hi,
                body: events.lines,
                trace: job.trace
            )
        )
        return end(of: job, outcome, items: events.items)
    }

    /// The job's events, from memory where they are; `nil` when they are too many for one job.
    private func findEvents(of job: LeasedJob) async throws(PostgresError) -> EventBatch? {
        let bytesMax = limits.dispatch.jobBytesMax
        if let events = parts.cache.take(stream: job.stream, lo: job.lo, hi: job.hi) {
            return events.lines.count <= bytesMax ? events : nil
        }
        switch try await parts.reader.read(job) {
        case .events(let events): return events
        case .tooLarge: return nil
        }
    }

    private func end(of job: LeasedJob, _ outcome: WorkerOutcome, items: Int) -> End {
        switch outcome {
        case .failed(let cause, let message):
            if cause == .drained { state.pushedBack(now: now) }
            return .failed(LeaseFailure(cause), message)
        case .result(let encoding, let body):
            do throws(ResultRefusal) {
                return .result(
                    try JobResult(of: job, items: items, encoding: encoding, body: body, limits: limits.apply)
                )
            } catch {
                return .failed(.permanent, error.description)
            }
        }
    }

    /// Ends a lease in the database, however long that is away; a lease that nobody ends is found by others.
    private func report(_ job: LeasedJob, _ cause: LeaseFailure, _ message: String) async {
        let failure = FailedLease(id: job.id, cause: cause, message: message)
        var refusals = 0
        while Deadline.now() < stopAt {
            do throws(PostgresError) {
                let verdict = try await parts.queue.fail([failure])[job.id]
                metrics.count(cause, verdict)
                note(failure, verdict, of: job)
                return
            } catch {
                if case .server = error { refusals += 1 }
                // Held no more, it will be given back as unknown.
                if refusals == 5 {
                    return logger.error("failure not reported", metadata: ["error": "\(error)"])
                }
            }
            await loop.sleep(until: min(.after(limits.dispatch.reportRetry), stopAt))
        }
    }

    private func note(_ failure: FailedLease, _ verdict: FailureVerdict?, of job: LeasedJob) {
        switch verdict {
        case .dead:
            var fields: Logger.Metadata = [
                "job": "\(failure.id.job)", "cause": "\(failure.cause.rawValue)",
                "message": "\(failure.message.prefix(500))",
            ]
            if let traceID = job.trace.flatMap(WorkerJob.traceID) { fields["trace_id"] = "\(traceID)" }
            logger.warning("a job is dead", metadata: fields)
        case .split, .ready: signal()
        case .retry, .cancelled, nil: break
        }
    }
}
