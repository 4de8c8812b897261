import Glibc
import Postgres
import Reactor
import Synchronization
import TestSupport
import Testing

/// A database and a data folder of one test's own, and the programs that run on them.
struct Installation: Sendable {
    let loop: EventLoop
    /// The connection string of the database; `nil` for the embedded one.
    let conninfo: String?
    let data: String
    let programs = ProgramList()
    private let sql: PostgresConnection?

    /// Lends an installation on the shared cluster to `body`, on its loop; all that it has started is stopped
    /// after.
    static func with(_ body: @escaping @Sendable (Installation) async throws -> Void) async throws {
        try await TestCluster.withDatabase { database in
            let sql = try await database.connect()
            let installation = Installation(
                loop: database.loop,
                conninfo: database.configuration.conninfo,
                data: TestPaths.makeTemporaryDirectory() + "/data",
                sql: sql
            )
            let outcome = await installation.run(body)
            await sql.close()
            try outcome.get()
        }
    }

    /// The same with the database that the service makes for itself.
    static func withEmbedded(_ body: @escaping @Sendable (Installation) async throws -> Void) async throws {
        let loop = try await TestCluster.shared().loop
        let installation = Installation(
            loop: loop,
            conninfo: nil,
            data: TestPaths.makeTemporaryDirectory() + "/data",
            sql: nil
        )
        let outcome = await installation.run(body)
        try await stopPostmaster(in: installation.data, on: loop)
        try outcome.get()
    }

    /// An installation whose programs the caller ends; `sql` need not be connected yet.
    init(loop: EventLoop, conninfo: String?, data: String, sql: PostgresConnection?) {
        self.loop = loop
        self.conninfo = conninfo
        self.data = data
        self.sql = sql
    }

    private func run(
        _ body: @escaping @Sendable (Installation) async throws -> Void
    ) async -> Result<Void, any Error> {
        let outcome: Result<Void, any Error>
        do {
            outcome = .success(try await OnLoop(loop).run { try await body(self) })
        } catch {
            outcome = .failure(error)
            for program in programs.all { Issue.record("a log ended with\n\(program.log())") }
        }
        for program in programs.all { await program.kill() }
        return outcome
    }

    // MARK: Programs

    /// Starts a service and waits until it takes events.
    func serve(
        _ arguments: [String] = [],
        workers: Int = 2,
        environment: [String: String] = [:]
    ) async throws -> RunningService {
        var command = ["serve", "--listen", "127.0.0.1:0", "--workers", "\(workers)", "--data", data]
        if let conninfo { command += ["--database", conninfo] }
        // A spool writes its first segment at once: too much for the disk in tests that have no use for it.
        if !arguments.contains("--spool-max") { command += Self.withoutSpool }
        return try await RunningService(start(command + arguments, environment: environment), on: loop)
    }

    /// Starts a second node on the same database, with a folder of its own.
    func serveAnother() async throws -> RunningService {
        var command = ["serve", "--listen", "127.0.0.1:0", "--workers", "1", "--data", data + "/other"]
        if let conninfo { command += ["--database", conninfo] }
        return try await RunningService(start(command + Self.withoutSpool), on: loop)
    }

    private static let withoutSpool = ["--spool-max", "0"]
    /// For ``serve(_:workers:environment:)``.
    static let withSpool = ["--spool-max", "1GiB"]

    /// Starts `millrace` with these arguments.
    func start(_ arguments: [String], environment: [String: String] = [:]) async throws -> RunningProgram {
        let program = RunningProgram(on: loop)
        programs.add(program)
        try await program.start([MillraceBinary.path] + arguments, environment: environment)
        return program
    }

    /// Runs `millrace` with these arguments to its end.
    func run(_ arguments: [String], environment: [String: String] = [:]) async throws -> Outcome {
        let program = try await start(arguments, environment: environment)
        let output = try await program.rest()
        return Outcome(
            status: await program.exit(),
            output: String(decoding: output, as: UTF8.self),
            complaint: program.log()
        )
    }

    struct Outcome: Equatable {
        var status: Reactor.ExitStatus?
        var output: String
        var complaint: String
    }

    // MARK: Database

    /// Runs one statement in the external database.
    @discardableResult
    func query(
        _ text: String,
        _ parameters: [String?] = [],
        deadline: Deadline = TestCluster.deadline
    ) async throws -> [[String?]] {
        let sql = try #require(sql, "an embedded database is asked over HTTP")
        try await sql.ensureConnected(deadline: deadline)
        return try await sql.query(text, parameters, deadline: deadline).rows
    }

    func closeDatabase() async { await sql?.close() }

    func number(_ text: String, _ parameters: [String?] = []) async throws -> Int {
        let value = try await query(text, parameters).first?.first ?? nil
        return try #require(value.flatMap { Int($0) }, "\(text)")
    }

    /// The ids of the stored events that are like this.
    func ids(like pattern: String) async throws -> Set<String> {
        let rows = try await query("SELECT id FROM events WHERE id LIKE $1", [pattern])
        let ids = Set(rows.compactMap { $0[0] })
        #expect(ids.count == rows.count, "an id is stored twice")
        return ids
    }

    /// Waits until no backend works for a service any more: only then is it decided what a killed one has
    /// stored.
    func waitForBackends() async throws {
        try await until("the backends of the service are gone", on: loop) {
            // Within a transaction the view would stay as it was when it was first read.
            try await query("SELECT pg_stat_clear_snapshot()")
            return try await number("SELECT count(*) FROM pg_stat_activity WHERE \(Self.isBackend)") == 0
        }
    }

    /// The sessions of services in this database.
    static let isBackend =
        "datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'millrace%'"

    // MARK: Embedded

    /// The embedded postmaster's process; `nil` when none runs.
    var postmaster: Int32? { Self.postmaster(in: data) }

    /// The process whose cluster is the `postgres` of this folder; `nil` when none runs.
    static func postmaster(in data: String) -> Int32? {
        do throws(SystemError) {
            var reader = try FileReader(path: data + "/postgres/postmaster.pid")
            let text = String(decoding: try reader.readAll(bytesMax: 4_096), as: UTF8.self)
            let pid = text.split(separator: "\n").first.flatMap { Int32($0) }
            return pid.flatMap { ProcessTable.isRunning($0) ? $0 : nil }
        } catch {
            return nil
        }
    }

    /// Nothing that a test has started may outlive it, a database that is meant to outlive its service least
    /// of all.
    static func stopPostmaster(in data: String, on loop: EventLoop) async throws {
        guard let pid = postmaster(in: data) else { return }
        kill(pid, SIGQUIT)
        try await OnLoop(loop).run {
            try await until("the postmaster is gone", on: loop, within: .seconds(30)) {
                !ProcessTable.isRunning(pid)
            }
        }
    }
}

/// What a test has started, in order.
final class ProgramList: Sendable {
    private let programs = Mutex<[RunningProgram]>([])

    var all: [RunningProgram] { programs.withLock { $0 } }

    func add(_ program: RunningProgram) { programs.withLock { $0.append(program) } }
}
