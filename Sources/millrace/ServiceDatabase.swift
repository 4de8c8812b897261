import Ingest
import Logging
import Postgres
import Reactor

/// The database that the service works with, ready to take events: embedded or external, migrated, with
/// partitions.
struct ServiceDatabase: Sendable {
    let configuration: PostgresConfiguration
    /// The private cluster; `nil` for an external database.
    private let cluster: EmbeddedCluster?
    private let admin: PostgresConnection
    private let loop: EventLoop
    private let logger: Logger

    /// How long the service waits for the database at its start; a container's database may start later.
    private static let startTimeout = Duration.seconds(120)

    var kind: String { cluster == nil ? "external" : "embedded" }

    static func open(
        _ configuration: ServiceConfiguration,
        loop: EventLoop,
        logger: Logger
    ) async throws(ServiceFailure) -> ServiceDatabase {
        let deadline = Deadline.after(startTimeout)
        var cluster: EmbeddedCluster?
        var conninfo = configuration.database ?? ""
        if configuration.database == nil {
            let embedded = try await startCluster(
                configuration,
                loop: loop,
                logger: logger,
                deadline: deadline
            )
            cluster = embedded.cluster
            conninfo = embedded.conninfo
        }
        let settings = PostgresConfiguration(conninfo: conninfo)
        let database = ServiceDatabase(
            configuration: settings,
            cluster: cluster,
            admin: PostgresConnection(settings, name: "admin", loop: loop, logger: logger),
            loop: loop,
            logger: logger
        )
        do throws(ServiceFailure) {
            try await database.prepare(migrates: configuration.migrates, deadline: deadline)
        } catch {
            await database.close(deadline: .after(configuration.drainTimeout))
            throw error
        }
        return database
    }

    private static func startCluster(
        _ configuration: ServiceConfiguration,
        loop: EventLoop,
        logger: Logger,
        deadline: Deadline
    ) async throws(ServiceFailure) -> (cluster: EmbeddedCluster, conninfo: String) {
        let program: String
        var path: String?
        do throws(SystemError) {
            program = try Machine.programPath()
            path = try Machine.environment()["PATH"]
        } catch {
            throw ServiceFailure(Exit.failure, "cannot find this program: \(error)")
        }
        var settings = EmbeddedClusterConfiguration(data: configuration.data, trampoline: program)
        settings.searchPath = path
        let cluster = EmbeddedCluster(settings, loop: loop, logger: logger)
        do throws(EmbeddedClusterError) {
            return (cluster, try await cluster.start(deadline: deadline))
        } catch {
            let hint: String
            if case .notInstalled = error {
                hint = ". Install PostgreSQL's server, or name one with --database"
            } else {
                hint = ""
            }
            throw ServiceFailure(Exit.failure, "\(error)\(hint)")
        }
    }

    private func prepare(migrates: Bool, deadline: Deadline) async throws(ServiceFailure) {
        do throws(PostgresError) { try await waitForServer(deadline) } catch {
            throw ServiceFailure(Exit.failure, "\(error)")
        }
        do throws(MigrationError) {
            if migrates {
                let applied = try await Migrator().migrate(on: admin, deadline: deadline)
                for migration in applied {
                    logger.notice("migrated", metadata: ["migration": "\(migration.name)"])
                }
            } else {
                _ = try await Migrator().status(on: admin, deadline: deadline)
            }
        } catch {
            throw ServiceFailure(error.isForeignSchema ? Exit.foreignDatabase : Exit.failure, "\(error)")
        }
        do throws(PostgresError) { try await makePartitions(deadline: deadline) } catch {
            throw ServiceFailure(Exit.failure, "cannot make partitions: \(error)")
        }
    }

    /// Waits for a server that is still starting, and says so once.
    private func waitForServer(_ deadline: Deadline) async throws(PostgresError) {
        do throws(PostgresError) { try await admin.connect(deadline: deadline) } catch {
            logger.warning("waiting for PostgreSQL", metadata: ["reason": "\(error)"])
            try await admin.ensureConnected(deadline: deadline)
        }
    }

    /// Makes the partitions of the days to come; again and again while the service runs.
    func makePartitions(deadline: Deadline) async throws(PostgresError) {
        try await admin.ensureConnected(deadline: deadline)
        for keeper in [PartitionKeeper.events, .rejects, .jobOutcomes] {
            _ = try await keeper.ensure(on: admin, deadline: deadline)
        }
    }

    /// Drops what is older than the retention; by a day more, as an event is checked some time before it is
    /// stored.
    func dropExpired(afterDays days: Int, deadline: Deadline) async throws(PostgresError) {
        try await admin.ensureConnected(deadline: deadline)
        let names = try await PartitionKeeper.events.dropExpired(
            days: days + 1,
            on: admin,
            deadline: deadline
        )
        if !names.isEmpty { logger.notice("dropped expired events", metadata: ["partitions": "\(names)"]) }
    }

    /// Drops the rejects that are too old or too many.
    func bound(_ rejects: RejectKeeper, deadline: Deadline) async throws(PostgresError) {
        try await admin.ensureConnected(deadline: deadline)
        try await rejects.keep(on: admin, deadline: deadline)
    }

    func close(deadline: Deadline) async {
        await admin.close()
        await cluster?.stop(deadline: deadline)
    }
}
