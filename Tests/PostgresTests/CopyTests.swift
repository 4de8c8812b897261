import Postgres
import Reactor
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct `Copy over a connection` {
    @Test func `feeds several streams of one query in their order, in one transaction`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            _ = try await connection.simple(
                "CREATE TABLE a (n int); CREATE TABLE b (n int); CREATE TABLE x (id xid8)",
                deadline: TestCluster.deadline
            )

            let results = try await connection.simple(
                """
                INSERT INTO x VALUES (pg_current_xact_id()); COPY a FROM STDIN (FORMAT binary);
                INSERT INTO a VALUES (7); COPY b FROM STDIN (FORMAT binary);
                INSERT INTO x VALUES (pg_current_xact_id())
                """,
                copies: [integers(1...3), integers(1...5)],
                deadline: TestCluster.deadline
            )

            #expect(results.map(\.affected) == [1, 3, 1, 5, 1])
            let ids = try await connection.query(
                "SELECT count(DISTINCT id::text) FROM x",
                deadline: TestCluster.deadline
            )
            #expect(ids.value == "1")
        }
    }

    @Test func `drains an error in the middle of sixteen megabytes and stays usable`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            _ = try await connection.simple(
                "CREATE TABLE t (n int CHECK (n <> 800), x text)",
                deadline: TestCluster.deadline
            )
            let stream = texts(count: 1_600, bytesEach: 10_000)

            let error = await #expect(throws: PostgresError.self) {
                try await connection.simple(
                    "COPY t FROM STDIN (FORMAT binary); SELECT 1",
                    copies: [stream],
                    deadline: TestCluster.deadline
                )
            }

            #expect(error?.sqlState == "23514")
            #expect(try await count("t", connection) == "0")
        }
    }

    @Test func `carries a single field of sixteen megabytes and more rows than a socket takes`() async throws
    {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            _ = try await connection.simple("CREATE TABLE t (n int, x text)", deadline: TestCluster.deadline)

            let results = try await connection.simple(
                """
                COPY t FROM STDIN (FORMAT binary); COPY t FROM STDIN (FORMAT binary);
                SELECT count(*), sum(octet_length(x)) FROM t
                """,
                copies: [texts(count: 1, bytesEach: 16 << 20), texts(count: 16_384, bytesEach: 1_024)],
                deadline: TestCluster.deadline
            )

            #expect(results[2].rows == [["16385", "33554432"]])
        }
    }

    @Test func `refuses a payload that is no binary copy and stays usable`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            _ = try await connection.simple("CREATE TABLE t (n int)", deadline: TestCluster.deadline)

            for bytes in [[], Array("nonsense".utf8), integers(1...9).bytes.dropLast(7)] as [[UInt8]] {
                let error = await #expect(throws: PostgresError.self) {
                    try await connection.simple(
                        "COPY t FROM STDIN (FORMAT binary)",
                        copies: [CopyStream(bytes: bytes)],
                        deadline: TestCluster.deadline
                    )
                }
                #expect(error?.sqlState == "22P04", "\(bytes.count) bytes")
            }
            #expect(try await count("t", connection) == "0")
        }
    }

    @Test func `fails a copy that was given no stream and stays usable`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            _ = try await connection.simple("CREATE TABLE t (n int)", deadline: TestCluster.deadline)

            let error = await #expect(throws: PostgresError.self) {
                try await connection.simple("COPY t FROM STDIN", deadline: TestCluster.deadline)
            }

            #expect(error?.tag == "misuse")
            #expect(try await count("t", connection) == "0")
        }
    }

    @Test func `does not read COPY TO STDOUT, and connects anew after it`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()

            let error = await #expect(throws: PostgresError.self) {
                try await connection.simple("COPY (SELECT 1) TO STDOUT", deadline: TestCluster.deadline)
            }

            #expect(error?.tag == "misuse")
            try await connection.ensureConnected(deadline: TestCluster.deadline)
            #expect(try await connection.query("SELECT 1", deadline: TestCluster.deadline).value == "1")
        }
    }

    @Test func `reports a backend that is terminated while data waits, and stores nothing`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            let pid = try await pid(of: connection)
            _ = try await connection.simple(
                """
                CREATE TABLE t (n int, x text);
                CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS
                    'BEGIN PERFORM pg_sleep(600); RETURN NEW; END';
                CREATE TRIGGER stop BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.n = 500) EXECUTE FUNCTION stop()
                """,
                deadline: TestCluster.deadline
            )
            let stream = texts(count: 1_000, bytesEach: 10_000)

            let answer = Task {
                try await connection.simple(
                    "COPY t FROM STDIN (FORMAT binary)",
                    copies: [stream],
                    deadline: TestCluster.deadline
                )
            }
            try await terminate(pid, whenAt: "PgSleep", database)

            let error = await #expect(throws: PostgresError.self) { try await answer.value }
            #expect(error?.isOutcomeUnknown == true)
            try await connection.ensureConnected(deadline: TestCluster.deadline)
            #expect(try await count("t", connection) == "0")
        }
    }

    private func texts(count: Int, bytesEach: Int) -> CopyStream {
        let text = [UInt8](repeating: 0x61, count: bytesEach)
        var encoder = RowEncoder(columns: 2, capacity: count * (bytesEach + 32))
        for number in 0..<count {
            encoder.beginRow()
            encoder.append(int32: Int32(number))
            encoder.append(text: text.span)
        }
        return encoder.finish()
    }
}
