package import Logging
package import Postgres
package import Reactor
package import Workers

/// Everything of analyses that a node has: their routes, their dispatcher, its workers and its connections.
package struct AnalysisService: Sendable {
    package let routes: AnalysisRoutes
    private let dispatcher: AnalysisDispatcher
    private let connections: [PostgresConnection]

    /// Makes it ready; nothing is claimed before ``start()``.
    ///
    /// `pool` is of workers for nothing else, and has been started; ``stop()`` drains it.
    package init(
        _ configuration: PostgresConfiguration,
        epoch: String,
        node: String,
        pool: WorkerPool,
        limits: JobsLimits = JobsLimits(),
        loop: EventLoop,
        logger: Logger
    ) {
        var reading = configuration
        reading.isReadOnly = true
        func connect(_ configuration: PostgresConfiguration, _ name: String) -> PostgresConnection {
            PostgresConnection(configuration, name: name, loop: loop, logger: logger)
        }
        let (queue, reader) = (connect(configuration, "analyses"), connect(reading, "analysis reader"))
        let desk = connect(configuration, "analysis desk")
        connections = [queue, reader, desk]
        dispatcher = AnalysisDispatcher(
            epoch: epoch,
            node: node,
            queue: JobQueue(connection: queue, limits: limits),
            store: AnalysisStore(connection: queue),
            reader: reader,
            pool: pool,
            limits: limits,
            loop: loop,
            logger: logger
        )
        routes = AnalysisRoutes(store: AnalysisStore(connection: desk), dispatcher: dispatcher, loop: loop)
    }

    /// Begins to claim.
    package func start() async { await dispatcher.start() }

    /// Gives back what runs and ends the workers.
    package func stop() async {
        await dispatcher.stop()
        for connection in connections { await connection.close() }
    }
}
