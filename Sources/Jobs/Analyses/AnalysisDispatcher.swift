import Analytics
import Events
import Logging
import Postgres
import Reactor
import Workers

/// Runs the analyses of the queue on workers of their own, one for each of these at a time.
///
/// Apart from the rollups' dispatcher in all but the queue's rules: its own workers, its own connections.
/// So nothing that an analysis does makes an event wait, or a rollup.
actor AnalysisDispatcher {
    nonisolated private let loop: EventLoop
    private let epoch: String
    private let node: String
    private let queue: JobQueue
    private let store: AnalysisStore
    private let reader: PostgresConnection
    private let pool: WorkerPool
    private let limits: JobsLimits
    private let logger: Logger
    private var looping: Task<Void, Never>?
    private var nap: Task<Void, Never>?
    private var isStopping = false
    private var isWoken = false
    /// What is claimed and not over.
    private var current: LeaseID?
    private var nextReconciliation = Deadline.now()

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(
        epoch: String,
        node: String,
        queue: JobQueue,
        store: AnalysisStore,
        reader: PostgresConnection,
        pool: WorkerPool,
        limits: JobsLimits,
        loop: EventLoop,
        logger: Logger
    ) {
        self.loop = loop
        self.epoch = epoch
        self.node = node
        self.queue = queue
        self.store = store
        self.reader = reader
        self.pool = pool
        self.limits = limits
        self.logger = logger
    }

    // MARK: Life

    func start() {
        // Ended by stop().
        if looping == nil, !isStopping { looping = Task(executorPreference: loop) { await self.workOn() } }
    }

    /// Says that there may be an analysis to run; from any thread.
    nonisolated func wake() {
        loop.post {
            self.assumeIsolated { dispatcher in
                dispatcher.isWoken = true
                dispatcher.nap?.cancel()
            }
        }
    }

    /// Claims no more, gives back what runs, and returns when the queue knows.
    func stop() async {
        isStopping = true
        nap?.cancel()
        await pool.drain(deadline: .now())
        await looping?.value
    }

    /// Asks for the end of an analysis, if it runs here; from any thread.
    nonisolated func cancel(_ id: Int64) {
        // Not in the task of whoever asks: what the pool begins for it, a timer, outlasts a request.
        loop.post { Task(executorPreference: self.loop) { await self.cancelHere(id) } }
    }

    private func cancelHere(_ id: Int64) async {
        if current?.job == id { await pool.cancel(jobID: id) }
    }

    // MARK: Work

    private func workOn() async {
        var pause = limits.dispatch.pollMin
        while !isStopping {
            var hasRun = false
            do throws(PostgresError) {
                try await giveBackUnknown()
                if await pool.freeSlots > 0, !isStopping, let job = try await claim() {
                    await run(job)
                    hasRun = true
                }
            } catch {
                logger.debug("the queue of analyses does not answer", metadata: ["error": "\(error)"])
            }
            pause = hasRun || isWoken ? limits.dispatch.pollMin : min(pause * 2, limits.dispatch.pollMax)
            await rest(pause)
        }
    }

    private func rest(_ pause: Duration) async {
        if !isWoken, !isStopping {
            // Ends with the pause, or when somebody who cannot wait cancels it.
            let sleeping = Task(executorPreference: loop) {
                await self.loop.sleep(for: pause * Double.random(in: 0.75...1.25))
            }
            nap = sleeping
            await sleeping.value
            nap = nil
        }
        isWoken = false
    }

    private func claim() async throws(PostgresError) -> LeasedJob? {
        _ = try await queue.promote()
        return try await queue.claim(1, queue: AnalysisStore.queue, epoch: epoch).first
    }

    /// Leases of this epoch that nobody here holds: a claim's answer was lost on its way.
    private func giveBackUnknown() async throws(PostgresError) {
        if Deadline.now() < nextReconciliation { return }
        nextReconciliation = .after(limits.dispatch.reconcile)
        let unknown = try await queue.leases(of: epoch, queue: AnalysisStore.queue)
        let failures = unknown.map {
            FailedLease(id: $0, cause: .drained, message: "the claim's answer was lost")
        }
        _ = try await queue.fail(failures)
    }

    private func run(_ job: LeasedJob) async {
        current = job.id
        let watching = Task(executorPreference: loop) { await self.watch(job.id) }
        let outcome = await outcome(of: job)
        watching.cancel()
        await watching.value
        current = nil
        switch outcome {
        case .result(_, let body): await succeed(job, body)
        case .failed(let cause, let message): await fail(job, LeaseFailure(cause), message)
        }
    }

    private func outcome(of job: LeasedJob) async -> WorkerOutcome {
        do throws(PostgresError) {
            guard let parameters = try await store.begin(job.id, node: node) else {
                return .failed(cause: .permanent, message: "its parameters are gone")
            }
            do throws(AnalysisOrder.Refusal) {
                let needs = try AnalysisOrder.analysis(job.kind, parameters).needs
                let order = WorkerJob(
                    id: job.id.job,
                    token: job.id.token,
                    kind: job.kind,
                    timeout: job.timeout,
                    attempt: job.attempt,
                    crashes: job.crashes,
                    parameters: .object(parameters),
                    trace: job.trace,
                    feed: AnalysisFeed(needs, connection: reader)
                )
                return await pool.run(order)
            } catch {
                return .failed(cause: .permanent, message: "\(error.pointer): \(error.detail)")
            }
        } catch {
            return .failed(cause: .drained, message: "its parameters could not be read: \(error)")
        }
    }

    /// Writes down how far the analysis is, and learns whether somebody at another node has cancelled it.
    private func watch(_ id: LeaseID) async {
        while !Task.isCancelled {
            await loop.sleep(for: limits.dispatch.pollMax)
            if Task.isCancelled { return }
            let status = await pool.snapshot().first { $0.jobID == id.job }
            guard let status else { continue }
            let share = Double(status.jobDone ?? 0) / Double(max(status.jobTotal ?? 1, 1))
            do throws(PostgresError) {
                if try await store.progress(id, share) { await pool.cancel(jobID: id.job) }
            } catch {
                logger.debug("an analysis' progress is not written", metadata: ["error": "\(error)"])
            }
        }
    }

    // MARK: Ends

    private func succeed(_ job: LeasedJob, _ result: [UInt8]) async {
        var isRepeated = false
        while true {
            do throws(PostgresError) {
                if try await store.succeed(job.id, result: result, isRepeated: isRepeated) {
                    try await store.end(job.id, error: nil)
                }
                return
            } catch {
                if case .server = error {
                    return await fail(job, .permanent, "its result was refused: \(error)")
                }
                isRepeated = isRepeated || error.isOutcomeUnknown
                if isStopping { return }
            }
            await loop.sleep(for: limits.dispatch.reportRetry)
        }
    }

    /// Ends a lease in the database; where that is away for long, the lease is found as unknown.
    private func fail(_ job: LeasedJob, _ cause: LeaseFailure, _ message: String) async {
        var attempts = 0
        while attempts < 5 {
            attempts += 1
            do throws(PostgresError) {
                let failure = FailedLease(id: job.id, cause: cause, message: message)
                let verdict = try await queue.fail([failure])[job.id]
                try await store.end(job.id, error: "\(cause.rawValue): \(message)")
                if verdict == .dead {
                    logger.warning(
                        "an analysis has failed",
                        metadata: ["job": "\(job.id.job)", "cause": "\(cause.rawValue)"]
                    )
                }
                return
            } catch {
                logger.notice("an analysis' end is not written yet", metadata: ["error": "\(error)"])
            }
            await loop.sleep(for: limits.dispatch.reportRetry)
        }
    }
}
