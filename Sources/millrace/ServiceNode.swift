import Events
import Ingest
import Insight
import Jobs
import Logging
import Postgres
import Reactor
import Spool
import Workers

/// What makes this process a member of the installation: its lease, its workers, its writers, and who keeps
/// house.
struct ServiceNode: Sendable {
    let ingest: IngestRoute
    let rejects: RejectRoutes
    let analyses: AnalysisService
    private let rejectStore: RejectStore
    private let ingestor: Ingestor
    private let jobs: JobsService
    private let pool: WorkerPool
    private let upkeep: Task<Void, Never>

    /// How often days to come are given partitions: often enough for a clock that jumps, rarely enough to
    /// cost nothing.
    private static let partitionsInterval = Duration.seconds(600)
    /// How often rejects are held to their bounds: they may grow beyond by what comes meanwhile.
    private static let upkeepInterval = Duration.seconds(30)

    static func start(
        _ configuration: ServiceConfiguration,
        database: ServiceDatabase,
        spool: Spool?,
        loop: EventLoop,
        logger: Logger,
        onFenced: @escaping @Sendable () -> Void
    ) async throws(ServiceFailure) -> ServiceNode {
        let pool = try await startPool(configuration, size: configuration.workers, loop: loop, logger: logger)
        let jobs: JobsService
        do throws(PostgresError) {
            jobs = try await JobsService.register(
                database.configuration,
                name: configuration.name,
                // Draining has a stream of its own.
                writers: configuration.writers + (spool == nil ? 0 : 1),
                runner: pool,
                loop: loop,
                logger: logger,
                deadline: .after(.seconds(30)),
                onFenced: { onFenced() }
            )
        } catch {
            await pool.drain(deadline: .now())
            throw ServiceFailure(Exit.failure, "cannot register this node: \(error)")
        }
        let settings = ingestSettings(configuration, jobs.registration.streams, database, spool)
        let hooks = WriterHooks(
            stored: { jobs.store(stream: $0, lo: $1, hi: $2, lines: $3) },
            cut: { jobs.wake() },
            fenced: onFenced
        )
        let ingestor = Ingestor(settings, hooks: hooks, loop: loop, logger: logger)
        await ingestor.start()
        await jobs.start()
        let epoch = jobs.registration.epoch
        let analyses = try await startAnalyses(configuration, database, epoch, loop: loop, logger: logger)
        let keeper = RejectKeeper(
            daysMax: configuration.rejectsDaysMax,
            bytesMax: configuration.rejectsBytesMax,
            logger: logger
        )
        // Ended by `stop`.
        let upkeep = Task(executorPreference: loop) {
            await keep(database, configuration, rejects: keeper, loop: loop, logger: logger)
        }
        let rejectStore = RejectStore(database.configuration, loop: loop, logger: logger)
        return ServiceNode(
            ingest: IngestRoute(ingestor, settings),
            rejects: RejectRoutes(ingestor, settings, store: rejectStore),
            analyses: analyses,
            rejectStore: rejectStore,
            ingestor: ingestor,
            jobs: jobs,
            pool: pool,
            upkeep: upkeep
        )
    }

    private static func startAnalyses(
        _ configuration: ServiceConfiguration,
        _ database: ServiceDatabase,
        _ epoch: String,
        loop: EventLoop,
        logger: Logger
    ) async throws(ServiceFailure) -> AnalysisService {
        let analyses = AnalysisService(
            database.configuration,
            epoch: epoch,
            node: configuration.name,
            // Of its own, so that neither rollups nor whoever waits for them wait for an analysis.
            pool: try await startPool(configuration, size: 1, loop: loop, logger: logger),
            loop: loop,
            logger: logger
        )
        await analyses.start()
        return analyses
    }

    private static func ingestSettings(
        _ configuration: ServiceConfiguration,
        _ streams: [Int64],
        _ database: ServiceDatabase,
        _ spool: Spool?
    ) -> IngestConfiguration {
        var settings = IngestConfiguration(streams: streams, database: database.configuration)
        settings.spool = spool
        settings.bodyBytesMax = configuration.bodyBytesMax
        settings.dedup = configuration.dedup
        let days = configuration.retentionDays
        if days > 0 { settings.events.retentionMicroseconds = Int64(days) * 86_400_000_000 }
        return settings
    }

    private static func startPool(
        _ configuration: ServiceConfiguration,
        size: Int,
        loop: EventLoop,
        logger: Logger
    ) async throws(ServiceFailure) -> WorkerPool {
        do throws(SystemError) {
            var settings = WorkerPoolConfiguration.builtIn(
                size: size,
                millrace: try Machine.programPath()
            )
            let variables = try Machine.environment()
            for name in ["PATH", "LANG", "LC_ALL", "TMPDIR", "MILLRACE_WORKER_FAULTS"] {
                settings.environment[name] = variables[name]
            }
            // A worker that crashes is replaced in milliseconds; its own backtrace would take seconds.
            settings.environment["SWIFT_BACKTRACE"] = "enable=no"
            settings.seed = .random(in: 0 ... .max)
            let pool = WorkerPool(settings, loop: loop, logger: logger)
            await pool.start()
            return pool
        } catch {
            throw ServiceFailure(Exit.failure, "cannot start workers: \(error)")
        }
    }

    private static func keep(
        _ database: ServiceDatabase,
        _ configuration: ServiceConfiguration,
        rejects: RejectKeeper,
        loop: EventLoop,
        logger: Logger
    ) async {
        let days = configuration.retentionDays
        let accounts = AccountKeeper(database.configuration, loop: loop, logger: logger)
        var partitionsDue = Deadline.now()
        while !Task.isCancelled {
            if partitionsDue <= .now() {
                do throws(PostgresError) {
                    let deadline = Deadline.after(.seconds(60))
                    // Old ones first: they may be what the new ones need room for.
                    if days > 0 { try await database.dropExpired(afterDays: days, deadline: deadline) }
                    try await database.makePartitions(deadline: deadline)
                    partitionsDue = .after(partitionsInterval)
                } catch {
                    logger.error("cannot look after the partitions", metadata: ["reason": "\(error)"])
                }
            }
            do throws(PostgresError) {
                try await database.bound(rejects, deadline: .after(.seconds(60)))
            } catch {
                logger.warning("cannot hold the rejects to their bounds", metadata: ["reason": "\(error)"])
            }
            await accounts.runRound()
            await loop.sleep(for: upkeepInterval)
        }
        await accounts.close()
    }

    /// Stops the writers, then the queue, in this order: what was written is cut into jobs before the node
    /// leaves.
    func stop(deadline: Deadline) async {
        upkeep.cancel()
        await rejectStore.close()
        await analyses.stop()
        await ingestor.stop()
        await jobs.stop(deadline: deadline)
        await upkeep.value
    }

    /// Ends the workers at once: what they had is given back to the queue.
    func hasten() async { await pool.drain(deadline: .after(.seconds(1))) }

    /// What the read side asks this node.
    func sources(_ facts: NodeFacts, reader: PostgresPool) -> InsightSources {
        let (pool, ingestor) = (pool, ingestor)
        var sources = InsightSources(
            node: facts,
            workers: { await pool.snapshot().map(WorkerFacts.init) },
            readiness: { await ServiceReading.readiness(of: reader, spool: ingestor.spoolStatus) },
            shed: { ingestor.requestsShed },
            process: { ServiceReading.processFacts() },
            eventKey: { EventKey.text(source: $0, id: $1) }
        )
        sources.spool = { ingestor.spoolStatus.map(SpoolFigures.init) }
        sources.spooledReceipt = { SpooledReceiptFacts(await ingestor.spooledReceipt(id: $0, source: $1)) }
        return sources
    }
}

extension SpoolFigures {
    fileprivate init(_ status: SpoolStatus) {
        self.init(
            events: Int64(status.facts.events),
            bytes: Int64(status.facts.bytes),
            segments: Int64(status.facts.segments),
            isFull: status.isFull,
            isDatabaseAway: status.isDatabaseAway
        )
        withheldEvents = Int64(status.facts.withheldEvents)
    }
}

extension SpooledReceiptFacts {
    fileprivate init(_ receipt: SpooledReceipt) {
        switch receipt {
        case .event(let event):
            self = .event(
                SpooledEventFacts(
                    id: event.id,
                    source: event.source,
                    type: event.type,
                    subject: event.subject,
                    time: event.time,
                    receivedAt: event.receivedAt
                )
            )
        case .rejection(let rejection, let receivedAt):
            self = .rejection(rejection, receivedAt: receivedAt)
        case .absent: self = .absent
        case .unknown: self = .unknown
        }
    }
}

extension WorkerFacts {
    fileprivate init(_ status: WorkerStatus) {
        self.init(
            slot: status.slot,
            pid: status.pid,
            state: status.state.rawValue,
            jobID: status.jobID,
            jobKind: status.jobKind,
            jobAge: status.jobAge,
            jobsDone: status.jobsDone,
            restarts: status.restarts,
            age: status.age,
            residentBytes: status.residentBytes.map { Int64($0) }
        )
    }
}
