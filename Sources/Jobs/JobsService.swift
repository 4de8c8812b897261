package import Logging
package import Postgres
package import Reactor

/// The queue's side of one node: its lease, its dispatcher and what they need. One epoch, from its start to
/// its stop or until it is fenced; then a new one is made, or the process ends.
package actor JobsService {
    nonisolated private let loop: EventLoop
    nonisolated private let lease: NodeLease
    nonisolated private let cache: EventCache
    nonisolated private let dispatcher: Dispatcher
    private let applier: Applier
    private let runner: any JobRunner
    private let housekeeper: Housekeeper
    private let levels: LevelKeeper
    private let connections: [PostgresConnection]
    private let limits: JobsLimits
    private var keeping: [Task<Void, Never>] = []
    private var isRunning = false

    nonisolated package var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// The epoch, and the streams that the writers of this process have.
    nonisolated package var registration: NodeRegistration { lease.registration }

    /// Registers the node and makes everything ready; nothing is claimed before ``start()``.
    ///
    /// `name`, host and process id, is shown to operators; `writers` says how many streams to make. The
    /// `runner` has been started, and ``stop(deadline:)`` drains it. `onFenced` is called once when others
    /// have declared this node dead: its workers have been killed then and its results dropped, and its
    /// writers must stop, as their flushes fail with MR001.
    package static func register(
        _ configuration: PostgresConfiguration,
        name: String,
        writers: Int,
        runner: any JobRunner,
        limits: JobsLimits = JobsLimits(),
        loop: EventLoop,
        logger: Logger,
        deadline: Deadline,
        onFenced: @escaping @Sendable () async -> Void
    ) async throws(PostgresError) -> JobsService {
        let fence = Fence()
        let lease = try await NodeLease.register(
            configuration,
            name: name,
            writers: writers,
            limits: limits,
            loop: loop,
            logger: logger,
            deadline: deadline,
            onFenced: {
                await fence.fall()
                await onFenced()
            }
        )
        let service = JobsService(configuration, lease, runner, limits, loop: loop, logger: logger)
        await fence.guards(service)
        return service
    }

    private init(
        _ configuration: PostgresConfiguration,
        _ lease: NodeLease,
        _ runner: any JobRunner,
        _ limits: JobsLimits,
        loop: EventLoop,
        logger: Logger
    ) {
        self.loop = loop
        self.lease = lease
        self.runner = runner
        self.limits = limits
        cache = EventCache(limits: limits.cache)
        applier = Applier(configuration, limits: limits, loop: loop, logger: logger)
        housekeeper = Housekeeper(configuration, limits: limits, loop: loop, logger: logger)
        levels = LevelKeeper(configuration, limits: limits, loop: loop, logger: logger)
        let queueConnection = PostgresConnection(configuration, name: "queue", loop: loop, logger: logger)
        let readerConnection = PostgresConnection(configuration, name: "reader", loop: loop, logger: logger)
        connections = [queueConnection, readerConnection]
        dispatcher = Dispatcher(
            Dispatcher.Parts(
                epoch: lease.epoch,
                queue: JobQueue(connection: queueConnection, limits: limits),
                cache: cache,
                reader: EventReader(connection: readerConnection, limits: limits),
                runner: runner,
                applier: applier
            ),
            limits: limits,
            loop: loop,
            logger: logger
        )
    }

    /// Jobs that this node holds now.
    package var jobsHeld: Int {
        get async { await dispatcher.jobsHeld }
    }

    /// Whether others have declared this node dead.
    package var isFenced: Bool {
        get async { await lease.isFenced }
    }

    // MARK: For the writers

    /// Keeps the lines of a committed flush for the job that will count them; from any thread.
    nonisolated package func store(stream: Int64, lo: Int64, hi: Int64, lines: [UInt8]) {
        cache.store(stream: stream, lo: lo, hi: hi, lines: lines)
    }

    /// Says that a job has been cut; from any thread.
    nonisolated package func wake() { dispatcher.wake() }

    // MARK: Life

    /// Begins to beat, to claim and to keep house.
    package func start() async {
        if isRunning { return }
        isRunning = true
        // Ended by stop() or by being fenced.
        keeping = [
            Task(executorPreference: loop) { await self.keepHouse() },
            Task(executorPreference: loop) { await self.keepLevels() },
        ]
        await lease.start()
        await dispatcher.start()
    }

    private func keepHouse() async {
        while isRunning {
            await housekeeper.runRound()
            if isRunning {
                await loop.sleep(for: limits.housekeeping.interval * Double.random(in: 0.9...1.1))
            }
        }
    }

    private func keepLevels() async {
        while isRunning {
            await levels.runRound()
            if isRunning { await loop.sleep(for: limits.levels.interval * Double.random(in: 0.9...1.1)) }
        }
    }

    /// Claims no more, lets what runs end, applies it, and deregisters; the writers must have stopped before.
    ///
    /// Takes the workers down as well. What is not done by the deadline is found by others.
    package func stop(deadline: Deadline) async {
        isRunning = false
        for task in keeping { task.cancel() }
        await lease.markDraining()
        await dispatcher.stopClaiming()
        await applier.hurry()
        // Of the time that is left, a fifth is for the database.
        let left = deadline.duration(since: .now())
        await runner.drain(deadline: .after(left * 4 / 5))
        await dispatcher.finish(deadline: deadline)
        await applier.stop(deadline: deadline)
        for task in keeping { await task.value }
        // A deadline that has passed already must not keep the node from being deregistered.
        await lease.stop(deadline: max(deadline, .after(limits.lease.answer)))
        for connection in connections { await connection.close() }
    }

    /// What being declared dead means for what is under way.
    fileprivate func giveUp() async {
        isRunning = false
        for task in keeping { task.cancel() }
        await dispatcher.halt()
        await applier.discard()
        await runner.killAll()
    }
}

/// Leads from the lease to the service that is made after it.
private actor Fence {
    private weak var service: JobsService?
    private var hasFallen = false

    func guards(_ service: JobsService) async {
        self.service = service
        if hasFallen { await service.giveUp() }
    }

    func fall() async {
        hasFallen = true
        await service?.giveUp()
    }
}
