import Postgres
import Reactor
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct `Postgres connection` {
    @Test func `returns a result for each statement of a simple query`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()

            let results = try await connection.simple(
                "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2); SELECT a, NULL AS b FROM t",
                deadline: TestCluster.deadline
            )

            #expect(results.map(\.affected) == [0, 2, 2])
            #expect(results[2].columns == ["a", "b"])
            #expect(results[2].rows == [["1", nil], ["2", nil]])
        }
    }

    @Test func `passes parameters as they are, quotes and nulls and characters of every width`() async throws
    {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            let texts = ["it's \\ \"so\"", nil, "", "水🚰", String(repeating: "x", count: 1_000_000)]

            let result = try await connection.query(
                "SELECT $1::text, $2::text, $3::text, $4::text, $5::text",
                texts,
                deadline: TestCluster.deadline
            )

            #expect(result.rows == [texts])
        }
    }

    @Test func `refuses U+0000, which would cut a statement in half`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()

            await #expect(throws: PostgresError.misuse("a statement cannot hold U+0000")) {
                try await connection.simple("SELECT 1\u{0}; SELECT 2", deadline: TestCluster.deadline)
            }
            await #expect(throws: PostgresError.misuse("a text parameter cannot hold U+0000")) {
                try await connection.query("SELECT $1", ["a\u{0}b"], deadline: TestCluster.deadline)
            }
        }
    }

    @Test func `gives every session UTC, ISO dates, hex bytea and UTF-8`() async throws {
        try await TestCluster.withDatabase { database in
            var configuration = database.configuration
            configuration.statementTimeout = .seconds(7)
            configuration.isReadOnly = true
            configuration.sessionSetup = "SET work_mem = '5MB'"
            let connection = PostgresConnection(
                configuration,
                name: "setup",
                loop: database.loop,
                logger: TestCluster.logger
            )
            try await connection.connect(deadline: TestCluster.deadline)

            let names = [
                "TimeZone", "bytea_output", "client_encoding", "client_min_messages", "statement_timeout",
                "default_transaction_read_only", "work_mem", "application_name", "synchronous_commit",
            ]
            let sql = "SELECT " + names.map { "current_setting('\($0)')" }.joined(separator: ", ")
            let row = try await connection.query(sql, deadline: TestCluster.deadline).rows[0]

            #expect(row == ["UTC", "hex", "UTF8", "warning", "7s", "on", "5MB", "millrace setup", "off"])
        }
    }

    @Test func `reports the server's error with its fields and stays usable`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            _ = try await connection.simple(
                "CREATE TABLE t (a int CONSTRAINT one_each UNIQUE)",
                deadline: TestCluster.deadline
            )

            let error = await #expect(throws: PostgresError.self) {
                try await connection.simple(
                    "INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)",
                    deadline: TestCluster.deadline
                )
            }

            guard case .server(let refusal) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(refusal.isUniqueViolation && refusal.constraint == "one_each" && refusal.table == "t")
            #expect(refusal.severity == "ERROR" && refusal.detail == "Key (a)=(1) already exists.")
            #expect(error?.isOutcomeUnknown == false)
            #expect(try await count("t", connection) == "0")
        }
    }

    @Test func `fails a transaction whose fence finds its row gone, and leaves nothing of it`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            _ = try await connection.simple(
                "CREATE TABLE node (epoch int); CREATE TABLE t (a int)",
                deadline: TestCluster.deadline
            )

            let error = await #expect(throws: PostgresError.self) {
                try await connection.simple(
                    """
                    COPY t FROM STDIN (FORMAT binary);
                    DO $$ BEGIN
                        PERFORM FROM node WHERE epoch = 7 FOR KEY SHARE;
                        IF NOT FOUND THEN RAISE EXCEPTION 'epoch 7 is gone' USING ERRCODE = 'MR001'; END IF;
                    END $$
                    """,
                    copies: [integers(1...3)],
                    deadline: TestCluster.deadline
                )
            }

            #expect(error?.sqlState == "MR001")
            #expect(try await count("t", connection) == "0")
        }
    }

    @Test func `says unavailable, and sends nothing, while it is not connected`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = PostgresConnection(
                database.configuration,
                name: "idle",
                loop: database.loop,
                logger: TestCluster.logger
            )

            await #expect(throws: PostgresError.unavailable("it has never been connected")) {
                try await connection.query("SELECT 1", deadline: TestCluster.deadline)
            }
        }
    }

    @Test(arguments: ["host=/nonexistent", "host=", "nonsense", "postgresql://[::1", "port=x host=/tmp"])
    func `says unavailable when nobody answers or the string makes no sense`(conninfo: String) async throws {
        let cluster = try await TestCluster.shared()
        let connection = PostgresConnection(
            PostgresConfiguration(conninfo: conninfo),
            name: "lost",
            loop: cluster.loop,
            logger: TestCluster.logger
        )

        let error = await #expect(throws: PostgresError.self) {
            try await connection.connect(deadline: TestCluster.deadline)
        }

        #expect(error?.tag == "unavailable")
        #expect(await !connection.isConnected)
    }

    @Test func `takes a URI, and the first host that answers`() async throws {
        try await TestCluster.withDatabase { database in
            let directory = try #require(
                database.configuration.conninfo.split(separator: "'").dropFirst().first
            )
            let uri = "postgresql:///\(database.name)?host=/nonexistent,\(directory)&user=test"
            let connection = PostgresConnection(
                PostgresConfiguration(conninfo: uri),
                name: "uri",
                loop: database.loop,
                logger: TestCluster.logger
            )
            try await connection.connect(deadline: TestCluster.deadline)

            let result = try await connection.query(
                "SELECT current_database()",
                deadline: TestCluster.deadline
            )
            #expect(result.value == database.name)
        }
    }

    @Test func `closes the socket at a deadline, reports an unknown outcome and connects anew`() async throws
    {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()

            await #expect(throws: PostgresError.timedOut) {
                // Long enough to be sent on a machine that is busy with everything else.
                try await connection.query("SELECT pg_sleep(600)", deadline: .after(.seconds(5)))
            }

            #expect(await !connection.isConnected)
            try await connection.ensureConnected(deadline: TestCluster.deadline)
            #expect(try await connection.query("SELECT 1", deadline: TestCluster.deadline).value == "1")
        }
    }

    @Test func `reports an unknown outcome when its backend is terminated in mid-query`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            let pid = try await pid(of: connection)

            let answer = Task {
                try await connection.query("SELECT pg_sleep(600)", deadline: TestCluster.deadline)
            }
            try await terminate(pid, whenAt: "PgSleep", database)

            let error = await #expect(throws: PostgresError.self) { try await answer.value }
            #expect(error?.tag == "connection_lost" && error?.isOutcomeUnknown == true)
            #expect(error?.description.contains("57P01") == true)
            try await connection.ensureConnected(deadline: TestCluster.deadline)
        }
    }

    @Test func `notices before it sends anything that an idle session was ended`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            let pid = try await pid(of: connection)
            try await terminate(pid, whenAt: "ClientRead", database)

            let error = await #expect(throws: PostgresError.self) {
                try await connection.query("SELECT 1", deadline: TestCluster.deadline)
            }
            #expect(error?.isOutcomeUnknown == false)
            try await connection.ensureConnected(deadline: TestCluster.deadline)
            #expect(try await connection.query("SELECT 1", deadline: TestCluster.deadline).value == "1")
        }
    }

    @Test func `ends a query on its way when it is closed, and refuses every later one`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            let pid = try await pid(of: connection)

            let answer = Task {
                try await connection.query("SELECT pg_sleep(600)", deadline: TestCluster.deadline)
            }
            try await until(pid, isAt: "PgSleep", database)
            await connection.close()

            let error = await #expect(throws: PostgresError.self) { try await answer.value }
            #expect(error?.isOutcomeUnknown == true)
            await #expect(throws: PostgresError.unavailable("connection test is closed")) {
                try await connection.ensureConnected(deadline: TestCluster.deadline)
            }
        }
    }
}
