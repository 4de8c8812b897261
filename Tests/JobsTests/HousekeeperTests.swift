import Jobs
import Postgres
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct `The housekeeper` {
    private func keeper(
        _ installation: Installation,
        _ limits: JobsLimits = Installation.limits
    ) -> Housekeeper {
        Housekeeper(
            installation.configuration,
            limits: limits,
            loop: installation.loop,
            logger: TestCluster.logger
        )
    }

    @Test func `drops the days of outcomes that are over for a week`() async throws {
        try await Installation.with { installation in
            let partitions = """
                SELECT count(*) FROM pg_inherits WHERE inhparent = 'job_outcomes'::regclass
                """
            let before = try await installation.number(partitions)
            let dropped = try await keeper(installation)
                .dropOutcomes(on: installation.admin, deadline: TestCluster.deadline)
            #expect(dropped.count == 3, "the installation began ten days ago, and seven full days are kept")
            #expect(try await installation.number(partitions) == before - 3)
            try await installation.sql(
                """
                INSERT INTO job_outcomes (id, token, status, queue, finished_at)
                    VALUES (1, 1, 'ok', 'rollup', now() - interval '7 days')
                """
            )
            await keeper(installation).runRound()
            #expect(try await installation.number("SELECT count(*) FROM job_outcomes") == 1)
        }
    }

    @Test func `rotates the keys of events once a window, and keeps one window's`() async throws {
        try await Installation.with { installation in
            let keeper = keeper(installation)
            func rotate() async throws -> Bool {
                try await keeper.rotateKeys(on: installation.admin, deadline: TestCluster.deadline)
            }
            func keys(_ table: String) async throws -> Int64 {
                try await installation.number("SELECT count(*) FROM \(table)")
            }
            let insert = "INSERT INTO event_keys VALUES (gen_random_uuid(), 1, now())"
            try await installation.sql(insert)
            #expect(try await !rotate())
            for _ in 0..<2 {
                try await installation.sql(
                    "UPDATE event_keys_rotation SET rotated_at = now() - interval '7 days'"
                )
                #expect(try await rotate())
                #expect(try await !rotate(), "not twice")
                #expect(try await keys("event_keys") == 0)
                #expect(try await keys("event_keys_previous") == 1)
                try await installation.sql(insert)
            }
        }
    }

    @Test func `keeps the audit trail for so long and of such a length, and says what has gone`() async throws
    {
        try await Installation.with { installation in
            var limits = Installation.limits
            limits.housekeeping.auditDays = 30
            limits.housekeeping.auditLinesMax = 4
            limits.housekeeping.auditLinesPerRoundMax = 3
            let keeper = keeper(installation, limits)
            func trim() async throws -> Int {
                try await keeper.trimAudit(on: installation.admin, deadline: TestCluster.deadline)
            }
            let insert =
                "INSERT INTO audit (at, actor, action, target) SELECT now() - make_interval(days => d),"
            let left = "SELECT target FROM audit WHERE action = 'key.create' ORDER BY n"
            let note = "SELECT detail->>'lines' FROM audit WHERE action = 'audit.trim'"

            // By age, the oldest first, so many a round.
            try await installation.sql(
                "\(insert) 'a', 'key.create', d FROM unnest(ARRAY[50, 40, 35, 31, 29, 2]) d"
            )
            #expect(try await trim() == 3)
            #expect(try await installation.sql(left) == [["31"], ["29"], ["2"]])
            #expect(try await trim() == 1)
            #expect(try await trim() == 0)
            #expect(try await installation.sql(left) == [["29"], ["2"]])
            #expect(try await installation.sql(note) == [["4"]], "one line for all of it")

            // By number; the line about what has gone is not counted.
            try await installation.sql(
                "\(insert) 'a', 'key.create', 'new ' || d FROM unnest(ARRAY[1, 1, 1]) d"
            )
            await keeper.runRound()
            #expect(
                try await installation.sql(left) == [["2"], ["new 1"], ["new 1"], ["new 1"]]
            )
            #expect(try await installation.sql(note) == [["5"]])
            let until = """
                SELECT (detail->>'until')::timestamptz < now() - interval '28 days'
                    FROM audit WHERE action = 'audit.trim'
                """
            #expect(try await installation.sql(until) == [["t"]], "the newest of what has gone")
            #expect(try await trim() == 0)
        }
    }

    @Test func `gives way to a writer that holds the keys`() async throws {
        try await Installation.with { installation in
            var limits = Installation.limits
            limits.housekeeping.lock = .milliseconds(1)
            let writer = try await installation.connect()
            _ = try await writer.simple(
                "BEGIN; LOCK TABLE event_keys IN ROW EXCLUSIVE MODE",
                deadline: TestCluster.deadline
            )
            try await installation.sql(
                "UPDATE event_keys_rotation SET rotated_at = now() - interval '8 days'"
            )
            await keeper(installation, limits).runRound()
            #expect(
                try await installation.sql("SELECT rotated_at < now() FROM event_keys_rotation") == [["t"]]
            )
            _ = try await writer.simple("COMMIT", deadline: TestCluster.deadline)
        }
    }
}
