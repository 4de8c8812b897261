import Postgres
import Reactor
import TestSupport
import Testing

/// A PostgreSQL for one test alone, for what would disturb all others.
struct OwnCluster: Sendable {
    private let cluster: EmbeddedCluster
    private let loop: EventLoop
    private let configuration: PostgresConfiguration

    static func start() async throws -> OwnCluster {
        let loop = try await TestCluster.shared().loop
        let data = TestPaths.makeTemporaryDirectory()
        var configuration = EmbeddedClusterConfiguration(data: data, trampoline: MillraceBinary.path)
        configuration.database = "test"
        configuration.isTemporary = true
        let cluster = EmbeddedCluster(configuration, loop: loop, logger: TestCluster.logger)
        let conninfo = try await cluster.start(deadline: TestCluster.deadline)
        var sessions = PostgresConfiguration(conninfo: conninfo + " dbname=test")
        // A temporary cluster has it off.
        sessions.sessionSetup = "SET synchronous_commit = on"
        return OwnCluster(cluster: cluster, loop: loop, configuration: sessions)
    }

    func run(_ body: (Installation) async throws -> Void) async throws {
        let installation = try await Installation.make(configuration, loop: loop)
        try await body(installation)
        await installation.admin.close()
    }

    func stop() async { await cluster.stop(deadline: TestCluster.deadline) }

    /// Has COMMIT wait, when it has happened, for a standby that does not exist.
    func holdCommits(in installation: Installation) async throws {
        try await installation.sql("CREATE TABLE probe (n int)")
        try await setStandbys("nobody", in: installation)
        // Sessions see it a moment later: commits until one of them waits.
        let probe = try await installation.connect(name: "probe")
        let until = TestCluster.deadline
        let probing = Task {
            while Deadline.now() < until {
                _ = try await probe.query("INSERT INTO probe VALUES (1)", deadline: until)
            }
        }
        let waits = "wait_event = 'SyncRep' AND application_name LIKE '%probe'"
        try await installation.wait(until: "EXISTS (SELECT FROM pg_stat_activity WHERE \(waits))")
        try await installation.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE \(waits)")
        await #expect(throws: PostgresError.self) { try await probing.value }
    }

    /// Ends the connections that match, and lets commits go on.
    func releaseCommits(in installation: Installation, killing condition: String) async throws {
        try await installation.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE \(condition)"
        )
        try await setStandbys("", in: installation)
    }

    private func setStandbys(_ names: String, in installation: Installation) async throws {
        try await installation.sql("ALTER SYSTEM SET synchronous_standby_names = '\(names)'")
        try await installation.sql("SELECT pg_reload_conf()")
    }
}
