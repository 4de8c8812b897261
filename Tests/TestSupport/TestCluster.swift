// TestSupport: what several test targets need and no product contains — a private PostgreSQL for the run, and
// the place of the program under test.

import Glibc
package import Logging
package import Postgres
package import Reactor
import Synchronization

/// One private PostgreSQL for all tests of this process, started by the first that asks and stopped at the
/// exit.
package struct TestCluster: Sendable {
    package let loop: EventLoop
    /// The connection string of the database `postgres`, as its superuser.
    package let conninfo: String

    private static let started = Task { try await launch() }
    private static let databasesMade = Atomic<Int>(0)

    /// Says nothing but what must not happen: tests look at values.
    package static let logger: Logger = {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }()

    /// How long a test waits for anything: far longer than it takes, so that only a hang ends it.
    package static var deadline: Deadline { .after(.seconds(60)) }

    /// The cluster, once it answers.
    package static func shared() async throws -> TestCluster { try await started.value }

    private static func launch() async throws -> TestCluster {
        let loop = try EventLoop(name: "test-postgres")
        let data = TestPaths.makeTemporaryDirectory()
        var configuration = EmbeddedClusterConfiguration(data: data, trampoline: MillraceBinary.path)
        configuration.database = "test"
        configuration.isTemporary = true
        // Every suite runs at once, and a test of the queue has a dozen connections.
        configuration.connectionsMax = 1000
        let cluster = EmbeddedCluster(configuration, loop: loop, logger: logger)
        let conninfo = try await cluster.start(deadline: deadline)
        if let pid = await cluster.postmasterPID { TestPaths.stopAtExit(pid: pid) }
        return TestCluster(loop: loop, conninfo: conninfo)
    }

    /// Runs `body` with a database of its own, made from template0 and dropped afterwards.
    package static func withDatabase<Value>(
        _ body: (TestDatabase) async throws -> Value
    ) async throws -> Value {
        let cluster = try await shared()
        let number = databasesMade.wrappingAdd(1, ordering: .relaxed).newValue
        let database = TestDatabase(cluster: cluster, name: "test_\(number)")
        let admin = try await cluster.connect(to: "postgres")
        do {
            _ = try await admin.query(
                "CREATE DATABASE \(database.name) TEMPLATE template0",
                deadline: deadline
            )
            let value = try await body(database)
            try await drop(database, admin)
            return value
        } catch {
            try await drop(database, admin)
            throw error
        }
    }

    private static func drop(_ database: TestDatabase, _ admin: PostgresConnection) async throws {
        _ = try await admin.query(
            "DROP DATABASE IF EXISTS \(database.name) WITH (FORCE)",
            deadline: deadline
        )
        await admin.close()
    }

    /// A new connection to one of the cluster's databases.
    package func connect(to database: String, name: String = "test") async throws -> PostgresConnection {
        let configuration = PostgresConfiguration(conninfo: conninfo(of: database))
        let connection = PostgresConnection(configuration, name: name, loop: loop, logger: Self.logger)
        try await connection.connect(deadline: Self.deadline)
        return connection
    }

    /// The connection string of one of the cluster's databases.
    package func conninfo(of database: String) -> String { conninfo + " dbname=\(database)" }
}

/// A database that one test has for itself.
package struct TestDatabase: Sendable {
    package let cluster: TestCluster
    package let name: String

    package var loop: EventLoop { cluster.loop }
    package var configuration: PostgresConfiguration {
        PostgresConfiguration(conninfo: cluster.conninfo(of: name))
    }

    /// A new connection to it.
    package func connect(name connectionName: String = "test") async throws -> PostgresConnection {
        try await cluster.connect(to: name, name: connectionName)
    }
}
