import Postgres
import Reactor
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct `Callers of one connection` {
    /// Holds the connection until the returned closure is called: its query waits for a lock of another
    /// session.
    private func hold(
        _ connection: PostgresConnection,
        _ database: TestDatabase
    ) async throws -> (holder: Task<Void, any Error>, release: @Sendable () async throws -> Void) {
        let pid = try await pid(of: connection)
        let locker = try await database.connect(name: "locker")
        _ = try await locker.query("SELECT pg_advisory_lock(1)", deadline: TestCluster.deadline)
        let holder = Task<Void, any Error> {
            _ = try await connection.query("SELECT pg_advisory_xact_lock(1)", deadline: TestCluster.deadline)
        }
        try await until(pid, isAt: "advisory", database)
        return (holder, { await locker.close() })
    }

    private func untilWaiting(_ connection: PostgresConnection, _ callers: Int) async {
        while await connection.waiters < callers { await Task.yield() }
    }

    @Test func `are served one at a time in the order in which they came`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            _ = try await connection.simple(
                "CREATE TABLE t (at int GENERATED ALWAYS AS IDENTITY, caller int)",
                deadline: TestCluster.deadline
            )
            let (holder, release) = try await hold(connection, database)

            var callers: [Task<Void, any Error>] = []
            for caller in 0..<20 {
                callers.append(
                    Task {
                        _ = try await connection.query(
                            "INSERT INTO t (caller) VALUES (\(caller))",
                            deadline: TestCluster.deadline
                        )
                    }
                )
                await untilWaiting(connection, caller + 1)
            }
            try await release()
            try await holder.value
            for caller in callers { try await caller.value }

            let order = try await connection.query(
                "SELECT caller FROM t ORDER BY at",
                deadline: TestCluster.deadline
            )
            #expect(order.rows.map { $0[0] } == (0..<20).map { "\($0)" })
        }
    }

    @Test func `are refused once too many wait`() async throws {
        try await TestCluster.withDatabase { database in
            var configuration = database.configuration
            configuration.limits.waitersMax = 1
            let connection = PostgresConnection(
                configuration,
                name: "busy",
                loop: database.loop,
                logger: TestCluster.logger
            )
            try await connection.connect(deadline: TestCluster.deadline)
            let (holder, release) = try await hold(connection, database)

            let waiting = Task {
                try await connection.query("SELECT 2", deadline: TestCluster.deadline).value
            }
            await untilWaiting(connection, 1)
            await #expect(throws: PostgresError.unavailable("1 callers wait for connection busy")) {
                try await connection.query("SELECT 3", deadline: TestCluster.deadline)
            }

            try await release()
            try await holder.value
            #expect(try await waiting.value == "2")
        }
    }

    @Test func `leave the line at their deadline or when they are cancelled, with nothing sent`() async throws
    {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            let (holder, release) = try await hold(connection, database)
            let late = PostgresError.unavailable("connection test did not become free in time")

            await #expect(throws: late) {
                try await connection.query("SELECT 1", deadline: .after(.milliseconds(20)))
            }
            let cancelled = Task { try await connection.query("SELECT 1", deadline: TestCluster.deadline) }
            await untilWaiting(connection, 1)
            cancelled.cancel()
            await #expect(throws: late) { try await cancelled.value }

            #expect(await connection.isConnected)
            try await release()
            try await holder.value
        }
    }

    @Test func `are all sent away when it is closed`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            let (holder, release) = try await hold(connection, database)
            let waiting = Task { try await connection.query("SELECT 1", deadline: TestCluster.deadline) }
            await untilWaiting(connection, 1)

            await connection.close()

            let unsent = await #expect(throws: PostgresError.self) { try await waiting.value }
            #expect(unsent?.isOutcomeUnknown == false)
            let sent = await #expect(throws: PostgresError.self) { try await holder.value }
            #expect(sent?.isOutcomeUnknown == true)
            try await release()
        }
    }
}
