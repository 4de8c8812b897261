import Postgres
import Reactor
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Account keeper` {
    private static func with(
        _ limits: AccountLimits = AccountLimits(),
        _ body: (FlushDesk, AccountKeeper) async throws -> Void
    ) async throws {
        try await FlushDesk.with { desk in
            let database = desk.installation.database
            let keeper = AccountKeeper(
                database.configuration,
                limits: limits,
                loop: database.loop,
                logger: TestCluster.logger
            )
            // Connects.
            await keeper.runRound()
            do {
                try await body(desk, keeper)
                await keeper.close()
            } catch {
                await keeper.close()
                throw error
            }
        }
    }

    @Test func `says what differs, and that it does no longer`() async throws {
        try await Self.with { desk, keeper in
            try await desk.store([
                FlushDesk.submission(Decoded.dated(0..<5), of: 1),
                FlushDesk.submission(Decoded.dated(4..<7) + ["{}"], of: 2),
            ])
            #expect(try await keeper.check() == AccountMismatch())
            for (table, column, change) in [
                ("accounts", "stored", 2), ("accounts", "received", -1), ("accounts", "duplicates", 3),
                ("accounts", "rejected", 4), ("accounts", "bytes", 5), ("streams", "stored", -6),
                ("totals", "received", 7),
            ] {
                func tamper(_ change: Int) async throws {
                    let row = table == "accounts" ? "WHERE key_id = 2" : ""
                    try await desk.installation.sql(
                        "UPDATE \(table) SET \(column) = \(column) + \(change) \(row)"
                    )
                }
                try await tamper(change)
                let found = try await keeper.check()
                var expected = AccountMismatch()
                let sign = table == "accounts" ? 1 : -1
                let path: [String: WritableKeyPath<AccountMismatch, Int64>] = [
                    "received": \.received, "stored": \.stored, "duplicates": \.duplicates,
                    "rejected": \.rejected, "bytes": \.bytes,
                ]
                expected[keyPath: try #require(path[column])] = Int64(sign * change)
                if table == "accounts", column != "bytes" { expected.unbalanced = Int64(abs(change)) }
                #expect(found == expected, "\(table) \(column)")
                #expect(found.events == (column == "bytes" ? 0 : Int64(abs(change))))
                try await tamper(-change)
                #expect(try await keeper.check() == AccountMismatch())
            }
            // Errors that cancel each other out over all accounts.
            try await desk.installation.sql(
                "UPDATE accounts SET stored = stored + CASE key_id WHEN 1 THEN 1 ELSE -1 END"
            )
            #expect(try await keeper.check().events == 2)
        }
    }

    @Test func `checks one moment while writers write and nodes are buried`() async throws {
        try await Self.with { desk, keeper in
            let installation = desk.installation
            let checks = Task {
                var count = 0
                while !Task.isCancelled {
                    let found = try await keeper.check()
                    #expect(found == AccountMismatch())
                    count += 1
                }
                return count
            }
            for round in 0..<10 {
                try await installation.withNode { node in
                    try await node.expect(.stored, of: Decoded.dated(round * 10..<round * 10 + 10))
                    _ = try await node.store(Decoded.dated(round * 10..<round * 10 + 3) + ["{}"])
                    try await installation.sql("SELECT bury_node($1)", [node.epoch])
                }
            }
            checks.cancel()
            #expect(try await checks.value > 10)
            #expect(try await installation.totals().stored == 100)
        }
    }

    @Test func `makes days of old minutes, a bounded part a round, and changes no sum`() async throws {
        var limits = AccountLimits()
        limits.foldedPerRoundMax = 3
        try await Self.with(limits) { desk, keeper in
            let installation = desk.installation
            for (key, minute) in [(Int64(1), Int64(0)), (1, 1), (2, 1), (1, 2), (1, 1_440), (1, 1_500)] {
                try await desk.store([
                    FlushDesk.submission(
                        Decoded.dated([1], prefix: "\(key) \(minute)") + ["{}"],
                        of: key,
                        minute: minute
                    )
                ])
            }
            try await installation.sql("UPDATE accounts SET minute = minute - interval '2 years'")
            var fresh = Decoded.submission(Decoded.fresh([1]), receivedAt: WallClock.microseconds())
            fresh.sender = 1
            try await desk.store([fresh])
            let before = try await installation.totals()

            #expect(try await keeper.fold() == 3)
            #expect(try await keeper.fold() == 3)
            #expect(try await keeper.fold() == 0)

            let rows = try await installation.sql(
                """
                SELECT to_char(minute AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), key_id, received, stored,
                       rejected FROM accounts WHERE stream = 0 ORDER BY minute, key_id
                """
            )
            #expect(
                rows == [
                    ["2024-09-21 00:00", "1", "6", "3", "3"], ["2024-09-21 00:00", "2", "2", "1", "1"],
                    ["2024-09-22 00:00", "1", "4", "2", "2"],
                ]
            )
            #expect(try await installation.number("SELECT count(*) FROM accounts WHERE stream > 0") == 1)
            #expect(try await installation.totals() == before)
        }
    }

    @Test func `finds nothing wrong with what was counted before there were accounts`() async throws {
        try await TestCluster.withDatabase { database in
            let admin = try await database.connect(name: "admin")
            let deadline = TestCluster.deadline
            _ = try await Migrator().migrate(on: admin, to: 7, deadline: deadline)
            _ = try await admin.simple(
                """
                SELECT register_node(gen_random_uuid(), 'old', 2);
                UPDATE streams SET received = 13, stored = 8, duplicates = 3, rejected = 2, bytes = 500;
                UPDATE totals SET received = 100, stored = 90, duplicates = 6, rejected = 4, bytes = 9000
                """,
                deadline: deadline
            )
            _ = try await Migrator().migrate(on: admin, deadline: deadline)
            let mismatch = try await admin.query("SELECT * FROM accounts_mismatch", deadline: deadline)
            #expect(mismatch.rows == [Array(repeating: "0", count: 6)])
            let account = try await admin.query(
                "SELECT route, received, stored, duplicates, rejected, bytes FROM accounting",
                deadline: deadline
            )
            #expect(account.rows == [["unknown", "126", "106", "12", "8", "10000"]])
            await admin.close()
        }
    }
}
