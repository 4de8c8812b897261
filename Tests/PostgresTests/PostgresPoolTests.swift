import Postgres
import Reactor
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct `Postgres pool` {
    private func makePool(_ database: TestDatabase, size: Int, waitersMax: Int = 100) -> PostgresPool {
        var configuration = database.configuration
        configuration.limits.poolWaitersMax = waitersMax
        return PostgresPool(
            configuration,
            size: size,
            name: "pool",
            loop: database.loop,
            logger: TestCluster.logger
        )
    }

    private func untilWaiting(_ pool: PostgresPool, _ borrowers: Int) async {
        while await pool.waiters < borrowers { await Task.yield() }
    }

    @Test func `serves many borrowers over few connections`() async throws {
        try await TestCluster.withDatabase { database in
            let pool = makePool(database, size: 3)

            let pids = try await withThrowingTaskGroup(of: String?.self) { group in
                for _ in 0..<50 {
                    group.addTask {
                        try await pool.query("SELECT pg_backend_pid()", deadline: TestCluster.deadline).value
                    }
                }
                return try await group.reduce(into: Set<String?>()) { $0.insert($1) }
            }

            #expect((1...3).contains(pids.count))
            #expect(await pool.free == 3)
            await pool.close()
        }
    }

    @Test func `refuses at once when the line is full, and at the deadline when nothing comes back`()
        async throws
    {
        try await TestCluster.withDatabase { database in
            let pool = makePool(database, size: 1, waitersMax: 1)
            try await pool.withConnection(deadline: TestCluster.deadline) { _ throws(PostgresError) in
                await #expect(
                    throws: PostgresError.unavailable("no connection of the pool pool became free in time")
                ) {
                    try await pool.query("SELECT 1", deadline: .after(.milliseconds(20)))
                }
                let waiting = Task { try await pool.query("SELECT 1", deadline: TestCluster.deadline) }
                await untilWaiting(pool, 1)
                await #expect(throws: PostgresError.unavailable("1 callers wait for the pool pool")) {
                    try await pool.query("SELECT 1", deadline: TestCluster.deadline)
                }
                waiting.cancel()
                await #expect(throws: PostgresError.self) { try await waiting.value }
            }
            #expect(try await pool.query("SELECT 1", deadline: TestCluster.deadline).value == "1")
            await pool.close()
        }
    }

    @Test func `lends to those who wait in the order in which they came`() async throws {
        try await TestCluster.withDatabase { database in
            let pool = makePool(database, size: 1)
            _ = try await pool.query(
                "CREATE TABLE t (at int GENERATED ALWAYS AS IDENTITY, who int)",
                deadline: TestCluster.deadline
            )
            var waiting: [Task<Void, any Error>] = []
            try await pool.withConnection(deadline: TestCluster.deadline) { _ throws(PostgresError) in
                for who in 0..<10 {
                    waiting.append(
                        Task {
                            _ = try await pool.query(
                                "INSERT INTO t (who) VALUES (\(who))",
                                deadline: TestCluster.deadline
                            )
                        }
                    )
                    await untilWaiting(pool, who + 1)
                }
            }
            for task in waiting { try await task.value }

            let order = try await pool.query("SELECT who FROM t ORDER BY at", deadline: TestCluster.deadline)
            #expect(order.rows.map { $0[0] } == (0..<10).map { "\($0)" })
            await pool.close()
        }
    }

    @Test func `makes a broken connection again for its next borrower`() async throws {
        try await TestCluster.withDatabase { database in
            let pool = makePool(database, size: 1)
            let pid =
                try await pool.query("SELECT pg_backend_pid()", deadline: TestCluster.deadline).value ?? ""
            try await terminate(pid, whenAt: "ClientRead", database)

            let next = try await pool.query("SELECT pg_backend_pid()", deadline: TestCluster.deadline).value

            #expect(next != pid)
            await pool.close()
        }
    }

    @Test func `rolls back a transaction that a borrower left open`() async throws {
        try await TestCluster.withDatabase { database in
            let pool = makePool(database, size: 1)
            try await pool.withConnection(deadline: TestCluster.deadline) {
                connection throws(PostgresError) in
                _ = try await connection.simple(
                    "BEGIN; CREATE TABLE t (a int)",
                    deadline: TestCluster.deadline
                )
            }

            let table = try await pool.query("SELECT to_regclass('t')", deadline: TestCluster.deadline)

            #expect(table.value == nil)
            await pool.close()
        }
    }

    @Test func `refuses borrowers once closed and ends the queries of those it lent to`() async throws {
        try await TestCluster.withDatabase { database in
            let pool = makePool(database, size: 1)
            let pid =
                try await pool.query("SELECT pg_backend_pid()", deadline: TestCluster.deadline).value ?? ""
            let answer = Task { try await pool.query("SELECT pg_sleep(600)", deadline: TestCluster.deadline) }
            try await until(pid, isAt: "PgSleep", database)

            await pool.close()

            let error = await #expect(throws: PostgresError.self) { try await answer.value }
            #expect(error?.isOutcomeUnknown == true)
            await #expect(throws: PostgresError.unavailable("the pool pool is closed")) {
                try await pool.query("SELECT 1", deadline: TestCluster.deadline)
            }
        }
    }
}
