import Reactor
import TestSupport
import Testing

@testable import Postgres

@Suite(.timeLimit(.minutes(2))) struct `Partition keeper` {
    private static let schema = """
        CREATE TABLE events (
            ts timestamptz NOT NULL, key int NOT NULL, note text DEFAULT 'x', PRIMARY KEY (ts, key)
        ) PARTITION BY RANGE (ts);
        CREATE INDEX ON events USING brin (ts);
        CREATE TABLE rejects (at timestamptz NOT NULL) PARTITION BY RANGE (at)
        """

    private func keeper(_ base: PartitionKeeper, at now: String) -> PartitionKeeper {
        var keeper = base
        keeper.now = "timestamptz '\(now)'"
        return keeper
    }

    private func connect(_ database: TestDatabase) async throws -> PostgresConnection {
        let connection = try await database.connect()
        _ = try await connection.simple(Self.schema, deadline: TestCluster.deadline)
        return connection
    }

    @Test func `makes a history and every day from a month ago to eight days ahead`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await connect(database)

            let names = try await keeper(.events, at: "2026-11-22 23:59:59.999+00")
                .ensure(on: connection, deadline: TestCluster.deadline)

            #expect(names.count == 41, "a history, 31 days, today and 8 days")
            #expect(names.prefix(2) == ["events_history", "events_20261022"])
            #expect(names.suffix(1) == ["events_20261130"])
            _ = try await connection.simple(
                """
                INSERT INTO events VALUES ('0001-01-01 BC', 1), ('2026-10-21 23:59:59.999999Z', 1),
                    ('2026-10-22Z', 1), ('2026-11-30 23:59:59.999999Z', 1)
                """,
                deadline: TestCluster.deadline
            )
            let places = try await connection.query(
                "SELECT tableoid::regclass FROM events ORDER BY ts",
                deadline: TestCluster.deadline
            )
            #expect(
                places.rows.map { $0[0] } == [
                    "events_history", "events_history", "events_20261022", "events_20261130",
                ]
            )
            await #expect(throws: PostgresError.self) {
                try await connection.query(
                    "INSERT INTO events VALUES ('2026-12-01Z', 1)",
                    deadline: TestCluster.deadline
                )
            }
        }
    }

    @Test func `gives every partition the table's indexes and defaults`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await connect(database)
            let names = try await PartitionKeeper.events.ensure(
                on: connection,
                deadline: TestCluster.deadline
            )

            let unlike = try await connection.query(
                """
                SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'events'::regclass
                  AND (SELECT count(*) FROM pg_index x WHERE x.indrelid = c.oid) <> 2
                """,
                deadline: TestCluster.deadline
            )
            let invalid = try await count("pg_index WHERE NOT indisvalid", connection)

            #expect(names.count == 41)
            #expect(unlike.value == "0" && invalid == "0")
        }
    }

    @Test func `goes on from the newest day after a long sleep and does not bring back dropped days`()
        async throws
    {
        try await TestCluster.withDatabase { database in
            let connection = try await connect(database)
            _ = try await keeper(.events, at: "2026-02-20 12:00+00")
                .ensure(on: connection, deadline: TestCluster.deadline)
            _ = try await connection.simple(
                "DROP TABLE events_history, events_20260120",
                deadline: TestCluster.deadline
            )

            let names = try await keeper(.events, at: "2026-03-20 00:00+00")
                .ensure(on: connection, deadline: TestCluster.deadline)

            #expect(names.first == "events_20260121" && names.last == "events_20260328")
            #expect(names.count == 67, "the rest of January, February and 28 days of March")
        }
    }

    @Test func `makes no history for a table of receive times`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await connect(database)

            let names = try await keeper(.rejects, at: "2026-11-22 00:00+00")
                .ensure(on: connection, deadline: TestCluster.deadline)

            #expect(
                names.first == "rejects_20261121" && names.last == "rejects_20261130" && names.count == 10
            )
        }
    }

    @Test func `may be called by many nodes at once, in whatever time zone, and again`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await connect(database)
            let keeper = keeper(.events, at: "2026-11-22 12:00+00")

            let answers = try await withThrowingTaskGroup(of: [String].self) { group in
                for node in 0..<6 {
                    group.addTask {
                        let own = try await database.connect(name: "node \(node)")
                        _ = try await own.query(
                            "SET TIME ZONE 'Pacific/Kiritimati'",
                            deadline: TestCluster.deadline
                        )
                        return try await keeper.ensure(on: own, deadline: TestCluster.deadline)
                    }
                }
                return try await group.reduce(into: Set<[String]>()) { $0.insert($1) }
            }

            let again = try await keeper.ensure(on: connection, deadline: TestCluster.deadline)
            #expect(answers == [again])
            #expect(again.count == 41)
        }
    }

    @Test func `does not wait for a transaction that reads the table`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await connect(database)
            _ = try await keeper(.events, at: "2026-11-22 12:00+00")
                .ensure(on: connection, deadline: TestCluster.deadline)
            let reader = try await database.connect(name: "reader")
            _ = try await reader.simple("BEGIN; SELECT * FROM events", deadline: TestCluster.deadline)

            let names = try await keeper(.events, at: "2026-11-23 12:00+00")
                .ensure(on: connection, deadline: TestCluster.deadline)

            #expect(names.last == "events_20261201")
        }
    }

    private func expire(
        _ connection: PostgresConnection,
        days: Int,
        at now: String = "2026-11-22 00:00:00+00",
        lockTimeout: Duration = .seconds(2)
    ) async throws -> [String] {
        try await keeper(.events, at: now)
            .dropExpired(days: days, lockTimeout: lockTimeout, on: connection, deadline: TestCluster.deadline)
    }

    @Test func `drops whole days that are over for long enough, the history first`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await connect(database)
            let all = try await keeper(.events, at: "2026-11-22 12:00:00+00")
                .ensure(on: connection, deadline: TestCluster.deadline)

            #expect(try await expire(connection, days: 32).isEmpty)
            #expect(try await expire(connection, days: 31) == ["events_history"])
            #expect(try await expire(connection, days: 31).isEmpty)
            #expect(try await expire(connection, days: 29) == ["events_20261022", "events_20261023"])
            // A day counts as over at its last midnight.
            let before = "2026-11-22 23:59:59+00"
            #expect(try await expire(connection, days: 29, at: before).isEmpty)
            let left = try await keeper(.events, at: "2026-11-22 12:00:00+00")
                .ensure(on: connection, deadline: TestCluster.deadline)
            #expect(left == Array(all.dropFirst(3)), "what was dropped does not come back")
        }
    }

    /// A process that dies in between leaves a partition half detached, or detached and not dropped.
    @Test func `finishes what another round has begun`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await connect(database)
            _ = try await keeper(.events, at: "2026-11-22 12:00:00+00")
                .ensure(on: connection, deadline: TestCluster.deadline)
            // Detaching waits for this transaction, which has seen the partition.
            let reader = try await database.connect(name: "reader")
            _ = try await reader.simple("BEGIN; SELECT FROM events", deadline: TestCluster.deadline)
            await #expect(throws: PostgresError.self) {
                try await expire(connection, days: 31, lockTimeout: .milliseconds(50))
            }
            _ = try await reader.simple("COMMIT", deadline: TestCluster.deadline)
            _ = try await connection.simple(
                "ALTER TABLE events DETACH PARTITION events_20261022",
                deadline: TestCluster.deadline
            )
            #expect(try await expire(connection, days: 30) == ["events_history", "events_20261022"])
            let left = try await connection.query(
                "SELECT count(*) FROM pg_class WHERE relname IN ('events_history', 'events_20261022')",
                deadline: TestCluster.deadline
            )
            #expect(left.value == "0")
        }
    }

    /// The bound of the history is gone with its place in the table.
    @Test func `drops a history that another round has detached`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await connect(database)
            _ = try await keeper(.events, at: "2026-11-22 12:00:00+00")
                .ensure(on: connection, deadline: TestCluster.deadline)
            _ = try await connection.simple(
                "ALTER TABLE events DETACH PARTITION events_history",
                deadline: TestCluster.deadline
            )
            #expect(try await expire(connection, days: 31) == ["events_history"])
            #expect(try await count("pg_class WHERE relname = 'events_history'", connection) == "0")
        }
    }

    @Test func `leaves it to the node that is at it`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await connect(database)
            _ = try await keeper(.events, at: "2026-11-22 12:00:00+00")
                .ensure(on: connection, deadline: TestCluster.deadline)
            let other = try await database.connect(name: "other")
            _ = try await other.simple(
                "SELECT pg_advisory_lock(hashtextextended('millrace retention of events', 0))",
                deadline: TestCluster.deadline
            )
            #expect(try await expire(connection, days: 31).isEmpty)
            await other.close()
        }
    }
}
