import Glibc
import Reactor
import TestSupport
import Testing

@testable import Postgres

@Suite(.timeLimit(.minutes(3))) struct `Embedded cluster` {
    private func configuration(_ data: String) -> EmbeddedClusterConfiguration {
        var configuration = EmbeddedClusterConfiguration(data: data, trampoline: MillraceBinary.path)
        configuration.isTemporary = true
        return configuration
    }

    private func make(_ data: String, _ loop: EventLoop) -> EmbeddedCluster {
        EmbeddedCluster(configuration(data), loop: loop, logger: TestCluster.logger)
    }

    private func connect(_ conninfo: String, _ loop: EventLoop) async throws -> PostgresConnection {
        let connection = PostgresConnection(
            PostgresConfiguration(conninfo: conninfo),
            name: "test",
            loop: loop,
            logger: TestCluster.logger
        )
        try await connection.ensureConnected(deadline: TestCluster.deadline)
        return connection
    }

    /// With the settings of the product: durable, a quarter of the memory, and not tied to this process.
    @Test func `is made with checksums and UTF-8 and keeps its data over a stop`() async throws {
        let loop = try EventLoop(name: "cluster")
        let data = TestPaths.makeTemporaryDirectory()
        let durable = EmbeddedClusterConfiguration(data: data, trampoline: MillraceBinary.path)
        let first = EmbeddedCluster(durable, loop: loop, logger: TestCluster.logger)
        try await stopping(first) {
            let connection = try await connect(first.start(deadline: TestCluster.deadline), loop)
            let names = [
                "data_checksums", "server_encoding", "listen_addresses", "jit", "max_connections", "fsync",
                "full_page_writes", "synchronous_commit", "wal_compression", "unix_socket_permissions",
            ]
            let sql =
                "SELECT current_database(), "
                + names.map { "current_setting('\($0)')" }.joined(separator: ", ")
            let facts = try await connection.query(sql, deadline: TestCluster.deadline)
            #expect(
                facts.rows == [["millrace", "on", "UTF8", "", "off", "40", "on", "on", "on", "lz4", "0700"]]
            )
            _ = try await connection.query("CREATE TABLE kept (a int)", deadline: TestCluster.deadline)
            await connection.close()
        }

        let second = EmbeddedCluster(durable, loop: loop, logger: TestCluster.logger)
        try await stopping(second) {
            let connection = try await connect(second.start(deadline: TestCluster.deadline), loop)
            #expect(try await count("kept", connection) == "0")
            #expect(await !second.isAdopted)
            await connection.close()
        }
        #expect(PostmasterFile.running(in: data + "/postgres") == nil)
    }

    /// Also after a failure: this server would outlive the tests.
    private func stopping(_ cluster: EmbeddedCluster, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch {
            await cluster.stop(deadline: TestCluster.deadline)
            throw error
        }
        await cluster.stop(deadline: TestCluster.deadline)
    }

    @Test func `is adopted by the next service when the one before it was killed, and stopped by it`()
        async throws
    {
        let loop = try EventLoop(name: "cluster")
        let data = TestPaths.makeTemporaryDirectory()
        let killed = make(data, loop)
        let conninfo = try await killed.start(deadline: TestCluster.deadline)
        await killed.abandon()

        let next = make(data, loop)
        #expect(try await next.start(deadline: TestCluster.deadline) == conninfo)

        #expect(await next.isAdopted)
        #expect(await next.postmasterPID == killed.postmasterPID)
        await next.stop(deadline: TestCluster.deadline)
        #expect(PostmasterFile.running(in: data + "/postgres") == nil)
    }

    @Test func `starts over a pid file whose number is free, or belongs to another program`() async throws {
        let loop = try EventLoop(name: "cluster")
        let data = TestPaths.makeTemporaryDirectory()
        let first = make(data, loop)
        _ = try await first.start(deadline: TestCluster.deadline)
        await first.stop(deadline: TestCluster.deadline)
        let path = data + "/postgres/postmaster.pid"

        // 4194304 is the kernel's highest pid limit, so never a process; the other one is this very process.
        for pid in [4_194_304, getpid()] {
            try write("\(pid)\n\(data)/postgres\n1\n5432\n\(data)/run\n\n  1 2\nready   \n", to: path)
            let next = make(data, loop)
            _ = try await next.start(deadline: TestCluster.deadline)
            #expect(await !next.isAdopted, "pid \(pid)")
            await next.stop(deadline: TestCluster.deadline)
        }
    }

    @Test func `is started again when it dies, its clients reconnect, and what was committed is there`()
        async throws
    {
        let loop = try EventLoop(name: "cluster")
        let cluster = make(TestPaths.makeTemporaryDirectory(), loop)
        let connection = try await connect(cluster.start(deadline: TestCluster.deadline), loop)
        _ = try await connection.simple(
            "SET synchronous_commit = on; CREATE TABLE kept (a int)",
            deadline: TestCluster.deadline
        )
        let pid = try #require(await cluster.postmasterPID)

        #expect(kill(pid, SIGKILL) == 0)
        while await cluster.restarts == 0 { await Task.yield() }

        // The old backend lives a moment longer, and crash recovery refuses sessions for a while.
        #expect(try await countOnceBack(connection) == "0")
        #expect(await cluster.postmasterPID != pid)
        await connection.close()
        await cluster.stop(deadline: TestCluster.deadline)
    }

    @Test func `puts its socket elsewhere when the path is longer than a socket's may be`() async throws {
        let loop = try EventLoop(name: "cluster")
        let data = TestPaths.makeTemporaryDirectory() + "/" + String(repeating: "long, 'name", count: 9)
        let cluster = make(data, loop)

        let conninfo = try await cluster.start(deadline: TestCluster.deadline)

        #expect(conninfo.hasPrefix("host='/tmp/millrace-"))
        let connection = try await connect(conninfo, loop)
        await connection.close()
        await cluster.stop(deadline: TestCluster.deadline)
        let directory = conninfo.split(separator: "'")[1]
        #expect(rmdir(String(directory)) == 0, "the server leaves its socket's directory empty")
    }

    @Test func `names --data when its account may not enter a directory above`() async throws {
        guard geteuid() == 0 else { return }
        let loop = try EventLoop(name: "cluster")
        let closed = TestPaths.makeTemporaryDirectory() + "/closed"
        try ClusterFiles.makeDirectory(closed, permissions: 0o700)

        let error = await #expect(throws: EmbeddedClusterError.self) {
            try await make(closed + "/data", loop).start(deadline: TestCluster.deadline)
        }

        #expect(error?.description.contains("--data") == true)
        #expect(error?.description.contains("\(closed):") == true)
    }

    @Test func `says why when the server cannot start`() async throws {
        let loop = try EventLoop(name: "cluster")
        let data = TestPaths.makeTemporaryDirectory()
        let first = make(data, loop)
        _ = try await first.start(deadline: TestCluster.deadline)
        await first.stop(deadline: TestCluster.deadline)
        try write("nonsense\n", to: data + "/postgres/postgresql.conf")

        let error = await #expect(throws: EmbeddedClusterError.self) {
            try await make(data, loop).start(deadline: TestCluster.deadline)
        }

        #expect(error?.description.contains("postgresql.conf") == true)
    }

    @Test func `asks for the version that made it`() async throws {
        let loop = try EventLoop(name: "cluster")
        let data = TestPaths.makeTemporaryDirectory()
        try ClusterFiles.makeDirectory(data + "/postgres", permissions: 0o711)
        try write("9.6\n", to: data + "/postgres/PG_VERSION")

        let error = await #expect(throws: EmbeddedClusterError.self) {
            try await make(data, loop).start(deadline: TestCluster.deadline)
        }

        #expect(error?.description.contains("PostgreSQL 9") == true)
    }

    private func countOnceBack(_ connection: PostgresConnection) async throws -> String? {
        while true {
            try await connection.ensureConnected(deadline: TestCluster.deadline)
            do throws(PostgresError) {
                return try await connection.query(
                    "SELECT count(*) FROM kept",
                    deadline: TestCluster.deadline
                ).value
            } catch .server(let error) {
                throw PostgresError.server(error)
            } catch {
                continue
            }
        }
    }

    private func write(_ text: String, to path: String) throws {
        let raw = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        #expect(raw >= 0, "\(path)")
        let bytes = Array(text.utf8)
        #expect(Glibc.write(raw, bytes, bytes.count) == bytes.count)
        close(raw)
    }
}

@Suite struct `Postmaster file` {
    private static let text =
        "123\n/data/postgres\n1700000000\n5432\n/data/run\n\n  5432001  32768\nready   \n"

    @Test func `is read`() {
        let file = PostmasterFile(Self.text)

        #expect(file?.pid == 123 && file?.port == 5_432 && file?.socketDirectory == "/data/run")
    }

    @Test func `is nobody's while it is cut short before the socket's directory`() {
        let whole = Array(Self.text)
        let socketStart = Self.text.split(separator: "/data/run")[0].count
        for count in 0..<socketStart {
            let file = PostmasterFile(String(whole[..<count]))
            #expect(file == nil || file?.socketDirectory == "", "\(count) characters")
        }
    }

    @Test(arguments: [
        "0\na\nb\n1\nc\n", "-1\na\nb\n1\nc\n", "1\na\nb\n1\nc\n", "x\na\nb\n1\nc\n", "9\na\nb\nx\nc\n",
    ])
    func `is refused when it names no process`(text: String) {
        #expect(PostmasterFile(text) == nil)
    }
}
