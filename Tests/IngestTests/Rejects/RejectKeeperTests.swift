import Reactor
import TestSupport
import Testing

@testable import Ingest
@testable import Postgres

@Suite(.timeLimit(.minutes(3))) struct `Reject keeper` {
    private static let logger = TestCluster.logger
    private static let advisoryLocks =
        "pg_locks l JOIN pg_database d ON d.oid = l.database AND datname = current_database() "
        + "WHERE locktype = 'advisory'"

    /// Puts rejects of incompressible bytes into a day, counted from today.
    private func fill(_ installation: Installation, day: Int, count: Int, bytes: Int) async throws {
        try await installation.sql(
            """
            INSERT INTO rejects (received_at, code, pointer, detail, raw, request_id)
              SELECT now()::date + interval '1 day' * \(day) + interval '1 second' * i, 'c', '', 'd',
                     (SELECT decode(string_agg(md5(random()::text || i || j), ''), 'hex')
                        FROM generate_series(1, \(bytes / 16)) j), 'r'
                FROM generate_series(1, \(count)) i
            """
        )
    }

    private func days(_ installation: Installation) async throws -> [Int] {
        try await installation.sql(
            """
            SELECT to_date(right(c.relname, 8), 'YYYYMMDD') - now()::date
              FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
              WHERE i.inhparent = 'rejects'::regclass ORDER BY 1
            """
        ).compactMap { $0[0].flatMap { Int($0) } }
    }

    private func counts(_ installation: Installation) async throws -> [Int: Int] {
        let rows = try await installation.sql(
            "SELECT received_at::date - now()::date, count(*) FROM rejects GROUP BY 1"
        )
        return Dictionary(
            uniqueKeysWithValues: rows.compactMap { row in
                row[0].flatMap { Int($0) }.flatMap { day in row[1].flatMap { Int($0) }.map { (day, $0) } }
            }
        )
    }

    private func keeper(daysMax: Int = 1_000, bytesMax: Int = 1 << 40, at day: Int) -> RejectKeeper {
        var keeper = RejectKeeper(daysMax: daysMax, bytesMax: bytesMax, logger: Self.logger)
        keeper.partitions.now = "now() + interval '\(day) days'"
        return keeper
    }

    @Test func `drops the days all of which is too old, and no other`() async throws {
        try await Installation.with { installation in
            for day in [-1, 0, 1, 2, 4, 5] { try await fill(installation, day: day, count: 3, bytes: 16) }
            let keeper = keeper(daysMax: 3, at: 5)

            let dropped = try await keeper.keep(on: installation.admin, deadline: TestCluster.deadline)

            // Three days ago, in the middle of day 2, day 1 had ended.
            #expect(dropped.count == 9 && dropped.bytes > 0)
            #expect(try await days(installation) == Array(2...8))
            #expect(try await counts(installation) == [2: 3, 4: 3, 5: 3])
            #expect(
                try await keeper.keep(on: installation.admin, deadline: TestCluster.deadline)
                    == RejectKeeper.Dropped()
            )
        }
    }

    @Test func `drops the oldest days of what is too much`() async throws {
        try await Installation.with { installation in
            for day in 0...4 { try await fill(installation, day: day, count: 20, bytes: 100_000) }
            // Two million bytes a day, and ten partitions' indexes.
            let dropped = try await keeper(bytesMax: 7_500_000, at: 6)
                .keep(on: installation.admin, deadline: TestCluster.deadline)

            #expect(dropped.count == 40 && dropped.bytes > 4_000_000)
            #expect(try await counts(installation) == [2: 20, 3: 20, 4: 20])
            #expect(try await days(installation) == Array(2...8))
        }
    }

    @Test func `deletes the oldest rows of the last two days when these alone are too much`() async throws {
        try await Installation.with { installation in
            try await fill(installation, day: 0, count: 50, bytes: 20_000)
            try await fill(installation, day: 3, count: 50, bytes: 20_000)
            try await fill(installation, day: 4, count: 100, bytes: 20_000)
            var keeper = keeper(bytesMax: 2_000_000, at: 4)
            keeper.rowsMax = 7

            let dropped = try await keeper.keep(on: installation.admin, deadline: TestCluster.deadline)

            // Three million held, and eight tenths of two are left: of each day what came last.
            let left = try await counts(installation)
            #expect(left[0] == nil && left[3] == nil)
            #expect(left[4].map { 75...80 ~= $0 } == true, "\(left)")
            #expect(dropped.count == 200 - (left[4] ?? 0))
            #expect(
                try await installation.number(
                    "SELECT extract(epoch FROM min(received_at))::bigint % 86400 FROM rejects"
                ) == 101 - (left[4] ?? 0)
            )
            #expect(try await days(installation).contains(3), "rows still come into the day before")
            // The files are as large as before; the rows are not.
            #expect(
                try await keeper.keep(on: installation.admin, deadline: TestCluster.deadline)
                    == RejectKeeper.Dropped()
            )
        }
    }

    @Test func `is one node's at a time`() async throws {
        try await Installation.with { installation in
            try await fill(installation, day: 0, count: 3, bytes: 16)
            let other = try await installation.database.connect(name: "other")
            let deadline = TestCluster.deadline
            _ = try await other.query(
                "SELECT pg_advisory_lock(hashtextextended('millrace retention of rejects', 0))",
                deadline: deadline
            )
            let keeper = keeper(daysMax: 0, at: 5)
            #expect(try await keeper.keep(on: installation.admin, deadline: deadline).count == 0)
            await other.close()
            try await installation.wait(until: "NOT EXISTS (SELECT FROM \(Self.advisoryLocks))")
            #expect(try await keeper.keep(on: installation.admin, deadline: deadline).count == 3)
            #expect(try await installation.number("SELECT count(*) FROM \(Self.advisoryLocks)") == 0)
        }
    }

    @Test func `waits for no reader, and ends the next time what it has begun`() async throws {
        try await Installation.with { installation in
            try await fill(installation, day: 0, count: 3, bytes: 16)
            let reader = try await installation.database.connect(name: "reader")
            let deadline = TestCluster.deadline
            _ = try await reader.simple("BEGIN; SELECT FROM rejects", deadline: deadline)
            var keeper = keeper(daysMax: 0, at: 5)
            keeper.lockTimeout = .milliseconds(50)

            let error = await #expect(throws: PostgresError.self) {
                try await keeper.keep(on: installation.admin, deadline: deadline)
            }
            #expect(error?.sqlState == "55P03", "lock_not_available")
            // Others read and write meanwhile.
            try await fill(installation, day: 5, count: 1, bytes: 16)

            _ = try await reader.simple("COMMIT", deadline: deadline)
            #expect(try await keeper.keep(on: installation.admin, deadline: deadline).count == 3)
            #expect(try await counts(installation) == [5: 1])
            await reader.close()
        }
    }
}
