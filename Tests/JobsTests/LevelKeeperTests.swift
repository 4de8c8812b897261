import Analytics
import Events
import Postgres
import Reactor
import TestSupport
import Testing

@testable import Jobs

@Suite(.timeLimit(.minutes(3))) struct `Rollups of hours and days` {
    private static let hour: Int64 = 3_600_000_000
    private static let day: Int64 = 86_400_000_000

    private func keeper(_ installation: Installation, _ perTransaction: Int = 8) -> LevelKeeper {
        var limits = Installation.limits
        limits.levels.rollupsPerTransaction = perTransaction
        return LevelKeeper(
            installation.configuration,
            limits: limits,
            loop: installation.loop,
            logger: TestCluster.logger
        )
    }

    /// Random events of the last three days and a bit, late ones among them.
    private func events(_ count: Int, _ random: inout SplitMix) -> [TestEvent] {
        TestEvent.random(count, &random).map { event in
            var event = event
            event.time -= Int64.random(in: 0..<3 * Self.day, using: &random)
            return event
        }
    }

    /// Has a job's result with these events applied.
    private func apply(
        _ events: [TestEvent],
        by applier: Applier,
        of node: NodeRegistration,
        _ queue: JobQueue,
        _ installation: Installation
    ) async throws {
        try await installation.makeJob(of: node, count: Int64(events.count))
        var job = try await queue.claim(1, epoch: node.epoch)[0]
        job.timeMin = try #require(events.map(\.time).min())
        job.timeMax = try #require(events.map(\.time).max())
        #expect(await applier.apply(try JobResult(of: job, events)) == .applied)
    }

    /// What a function of the schema gives, added up by type and source.
    private func sums(
        _ function: String,
        _ from: Int64,
        _ to: Int64,
        _ installation: Installation
    ) async throws -> [[String?]] {
        func text(_ time: Int64) -> String { String(decoding: Timestamp.format(time), as: UTF8.self) }
        return try await installation.sql(
            "SELECT type, source, sum(events) FROM \(function)($1, $2) GROUP BY 1, 2 ORDER BY 1, 2",
            [text(from), text(to)]
        )
    }

    private func stored(_ table: String, _ installation: Installation) async throws -> [RollupKey: Rollup] {
        let rows = try await installation.sql(
            """
            SELECT (extract(epoch FROM start) * 1000000)::bigint, type, source, events, subjects, fields
              FROM \(table) WHERE NOT is_stale
            """
        )
        var rollups: [RollupKey: Rollup] = [:]
        for row in rows {
            let sketches = StoredSketches(subjects: row[4], fields: row[5])
            #expect(!sketches.isDamaged)
            let start = row[0].flatMap { Int64($0) } ?? -1
            rollups[RollupKey(minute: start, type: row[1] ?? "", source: row[2] ?? "")] = Rollup(
                count: row[3].flatMap { Int64($0) } ?? -1,
                subjects: sketches.subjects,
                fields: sketches.fields
            )
        }
        return rollups
    }

    /// Computed from the events alone.
    private func expected(
        _ events: [TestEvent],
        _ length: Int64,
        before end: Int64
    ) -> [RollupKey: Rollup] {
        var rollups: [RollupKey: Rollup] = [:]
        for (key, rollup) in TestEvent.rollups(events) where key.minute < end {
            let start = key.minute - key.minute % length
            rollups[RollupKey(minute: start, type: key.type, source: key.source), default: Rollup()]
                .merge(rollup)
        }
        return rollups
    }

    /// Counts and distinct subjects to the last one; sums of doubles may differ in their last bits.
    private func isSame(_ left: [RollupKey: Rollup], _ right: [RollupKey: Rollup]) -> Bool {
        left.count == right.count
            && left.allSatisfy { key, rollup in
                guard let other = right[key] else { return false }
                return rollup.count == other.count && rollup.subjects == other.subjects
                    && rollup.fields["/value"]?.count == other.fields["/value"]?.count
                    && rollup.fields["/value"]?.quantile(0.5) == other.fields["/value"]?.quantile(0.5)
            }
    }

    /// Without the marks in the applier's transaction late events are missing for ever; with `DO NOTHING` in
    /// them only those of transactions that run beside the keeper's.
    @Test(arguments: [3, 4, 5] as [UInt64])
    func `say what their minutes say, whatever is applied and made in between`(seed: UInt64) async throws {
        try await Installation.with { installation in
            var random = SplitMix(seed: seed)
            let node = try await installation.makeNode()
            let queue = try await installation.queue()
            let applier = installation.applier()
            var all: [TestEvent] = []
            for _ in 0..<25 {
                let batch = events(Int.random(in: 1...40, using: &random), &random)
                async let made = Bool.random(using: &random) ? keeper(installation, 2).runRound() : 0
                try await apply(batch, by: applier, of: node, queue, installation)
                _ = await made
                all += batch
                let now = WallClock.microseconds()
                let first = (now - 4 * Self.day) / Self.day * Self.day
                let from = first + Int64.random(in: 0..<3, using: &random) * Self.day
                let to = from + Int64.random(in: 0...4, using: &random) * Self.day
                let minutes = try await sums("minute_rollups", from, to, installation)
                #expect(try await sums("hour_rollups", from, to, installation) == minutes)
                #expect(try await sums("day_rollups", from, to, installation) == minutes)
            }
            let now = WallClock.microseconds()
            _ = await keeper(installation).runRound()
            let hours = try await stored("rollups_hour", installation)
            let days = try await stored("rollups_day", installation)
            #expect(isSame(hours, expected(all, Self.hour, before: now / Self.hour * Self.hour)))
            #expect(isSame(days, expected(all, Self.day, before: now / Self.day * Self.day)))
            #expect(await keeper(installation).runRound() == 0)
            await applier.stop(deadline: TestCluster.deadline)
        }
    }

    /// The applier found its hour marked already; if it did not lock it, the hour would be made without it.
    @Test func `are not made while a transaction that changes them is open`() async throws {
        try await Installation.with { installation in
            let minute = "date_trunc('hour', now(), 'UTC') - interval '90 minutes'"
            let insert =
                "INSERT INTO rollups_minute (minute, type, source, events) VALUES (\(minute), 't', '/', 1)"
            try await installation.sql(insert)
            #expect(await keeper(installation).runRound() > 0)
            try await installation.sql("UPDATE rollups_hour SET is_stale = true")
            let other = try await installation.connect()
            _ = try await other.simple(
                """
                CREATE TEMPORARY TABLE rollup_keys (ord int, minute timestamptz, type text, source text);
                BEGIN; UPDATE rollups_minute SET events = 2;
                INSERT INTO rollup_keys VALUES (0, \(minute), 't', '/'); \(RollupLevel.marksSQL)
                """,
                deadline: TestCluster.deadline
            )

            #expect(await keeper(installation).runRound() == 0)

            _ = try await other.simple("COMMIT", deadline: TestCluster.deadline)
            #expect(await keeper(installation).runRound() > 0)
            #expect(try await installation.sql("SELECT events, is_stale FROM rollups_hour") == [["2", "f"]])
            await other.close()
        }
    }

    @Test func `are not relied on while a node lives that does not mark them`() async throws {
        try await Installation.with { installation in
            let epoch = "00000000-0000-0000-0000-00000000000b"
            try await installation.sql("SELECT register_node('\(epoch)', 'old', 1)")
            // As a node of an older version does it.
            let minutes = """
                INSERT INTO rollups_minute (minute, type, source, events)
                  SELECT date_trunc('minute', now()) - interval '2 days' - n * interval '1 hour', 't', '/', n
                  FROM generate_series(1, 50) n
                """
            try await installation.sql(minutes)
            let (from, to) = (WallClock.microseconds() - 9 * Self.day, WallClock.microseconds())
            #expect(await keeper(installation).runRound() == 0)
            #expect(try await sums("day_rollups", from, to, installation) == [["t", "/", "1275"]])

            try await installation.sql("SELECT bury_node('\(epoch)')")
            #expect(await keeper(installation).runRound() > 50)

            #expect(try await installation.sql("SELECT DISTINCT is_stale FROM rollups_hour") == [["f"]])
            try await installation.sql("TRUNCATE rollups_minute")
            #expect(try await sums("day_rollups", from, to, installation) == [["t", "/", "1275"]])
            #expect(try await sums("hour_rollups", from, to, installation) == [["t", "/", "1275"]])
        }
    }
}
