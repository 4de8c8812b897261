import Events
import HTTP
import Postgres
import Reactor
import Spool
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Accounts` {
    /// As one `INSERT` and as one `COPY`.
    @Test(arguments: [3, FlushStatement.insertRowsMax]) func `are kept by minute, way in and key`(
        count: Int
    ) async throws {
        try await FlushDesk.with { desk in
            let (first, second) = (Decoded.dated(0..<count), Decoded.dated(count..<count + 5))
            func two(_ prefix: String) -> [String] { Decoded.dated(0..<2, prefix: prefix) }
            let third = two("a")
            try await desk.store([
                FlushDesk.submission(first, of: 1), FlushDesk.submission(second, of: 2),
                FlushDesk.submission(third, of: nil), FlushDesk.submission(two("b"), of: 1),
                FlushDesk.submission(two("c"), of: 1, minute: 1),
            ])

            var accounts = [
                AccountRow(stored: 2, bytes: third.byteCount),
                AccountRow(key: 1, stored: count + 2, bytes: (first + third).byteCount),
                AccountRow(key: 2, stored: 5, bytes: second.byteCount),
                AccountRow(key: 1, minute: 1, stored: 2, bytes: third.byteCount),
            ]
            #expect(try await desk.installation.accounts() == accounts)

            // Those that are there already, and one more.
            try await desk.store([
                FlushDesk.submission(two("d"), of: 1, minute: 1), FlushDesk.submission(two("f"), of: 3),
            ])
            accounts[3].stored += 2
            accounts[3].bytes += third.byteCount
            accounts.insert(AccountRow(key: 3, stored: 2, bytes: third.byteCount), at: 3)
            #expect(try await desk.installation.accounts() == accounts)
            #expect(try await desk.installation.totals().stored == count + 15)
        }
    }

    /// Rows are sorted by time, so that those of the keys are mixed.
    @Test(arguments: [false, true]) func `have their own duplicates, whoever tells them`(
        hasUndated: Bool
    ) async throws {
        try await FlushDesk.with { desk in
            func texts(_ numbers: some Sequence<Int>) -> [String] {
                let numbers = Array(numbers)
                return Decoded.dated(numbers) + (hasUndated ? Decoded.undated(numbers) : [])
            }
            let each = hasUndated ? 2 : 1
            let known = texts([0, 3, 4, 7])
            try await desk.store([FlushDesk.submission(known, of: nil)])
            let (even, odd) = (texts(stride(from: 0, to: 10, by: 2)), texts(stride(from: 1, to: 10, by: 2)))
            let again = texts([2, 2])

            try await desk.store([
                FlushDesk.submission(even, of: 1), FlushDesk.submission(odd + ["{}"], of: 2),
                FlushDesk.submission(again, of: 3), FlushDesk.submission(known, of: 4),
            ])

            #expect(
                try await desk.installation.accounts() == [
                    AccountRow(stored: 4 * each, bytes: known.byteCount),
                    AccountRow(key: 1, stored: 3 * each, duplicates: 2 * each, bytes: even.byteCount),
                    AccountRow(
                        key: 2,
                        stored: 3 * each,
                        duplicates: 2 * each,
                        rejected: 1,
                        bytes: (odd + ["{}"]).byteCount
                    ),
                    AccountRow(key: 3, duplicates: 2 * each, bytes: again.byteCount),
                    AccountRow(key: 4, duplicates: 4 * each, bytes: known.byteCount),
                ]
            )
        }
    }

    @Test func `have what PostgreSQL refused, and their neighbours' events none of it`() async throws {
        try await FlushDesk.with { desk in
            try await desk.installation.sql("ALTER TABLE events ADD CHECK (type <> 'poison')")
            let poison = #"{"id":"bad","type":"poison","time":"2026-09-21T14:13:20.004500Z"}"#
            try await desk.store([FlushDesk.submission(Decoded.dated([0, 7]), of: nil)])
            let (first, second) = (Decoded.dated(0..<5) + ["{}"], Decoded.dated(5..<9) + [poison])
            let third = Decoded.dated([1, 9])

            let verdicts = try await desk.store([
                FlushDesk.submission(first, of: 1), FlushDesk.submission(second, of: 2),
                FlushDesk.submission(third, of: 3, minute: 1),
            ])

            #expect(verdicts[1].last == .refused(sqlState: "23514"))
            #expect(
                try await desk.installation.accounts() == [
                    AccountRow(stored: 2, bytes: Decoded.dated([0, 7]).byteCount),
                    AccountRow(key: 1, stored: 4, duplicates: 1, rejected: 1, bytes: first.byteCount),
                    AccountRow(key: 2, stored: 3, duplicates: 1, rejected: 1, bytes: second.byteCount),
                    AccountRow(
                        key: 3,
                        minute: 1,
                        stored: 1,
                        duplicates: 1,
                        bytes: third.byteCount
                    ),
                ]
            )
        }
    }

    @Test func `have an atomic request as rejected, whoever refuses it`() async throws {
        try await Installation.with { installation in
            try await installation.sql("ALTER TABLE events ADD CHECK (type <> 'poison')")
            try await installation.withNode { node in
                let poison = #"{"id":"bad","type":"poison","source":"/t","time":"2026-01-02T03:04:05Z"}"#
                let bodies = [Decoded.dated(0..<4) + [poison], Decoded.dated(4..<6) + ["{}"]]
                for (key, texts) in zip([Int64(1), 2], bodies) {
                    _ = try await node.ingestor.store(
                        Decoded.events(texts),
                        requestID: RequestID("r"),
                        receivedAt: FlushDesk.minute(0),
                        bytes: texts.byteCount,
                        sender: key,
                        isAtomic: true,
                        waits: false
                    )
                }
                #expect(
                    try await installation.accounts() == [
                        AccountRow(key: 1, rejected: 5, bytes: bodies[0].byteCount),
                        AccountRow(key: 2, rejected: 3, bytes: bodies[1].byteCount),
                    ]
                )
            }
        }
    }

    @Test func `have a replay under its own name, for the key that had sent the events`() async throws {
        try await RejectDesk.with { desk in
            let texts = Decoded.dated(0..<5) + ["{}"] + Decoded.dated([4])
            try await desk.refuse(texts, receivedAt: FlushDesk.minute(0))
            try await desk.installation.sql("UPDATE rejects SET key_id = NULL WHERE id = 'e-0'")

            #expect(try await desk.replay().counts == [7, 5, 1, 1, 0])

            // In the minute of the replay.
            let now = try await desk.installation.accounts().last?.minute ?? 0
            #expect(
                try await desk.installation.accounts() == [
                    AccountRow(key: 7, rejected: 7, bytes: texts.byteCount),
                    AccountRow(route: "replay", minute: now, stored: 1, rejected: -1),
                    AccountRow(
                        route: "replay",
                        key: 7,
                        minute: now,
                        stored: 4,
                        duplicates: 1,
                        rejected: -5
                    ),
                ]
            )
            #expect(now > 0)
            let received = "SELECT sum(received) FROM accounts WHERE route = 'replay'"
            #expect(try await desk.installation.number(received) == 0)
        }
    }

    /// Its first try has counted nothing, or all of it.
    @Test(arguments: [false, true]) func `count a flush once that is sent again`(
        isCommitted: Bool
    ) async throws {
        try await FlushDesk.with { desk in
            let (first, second) = (Decoded.dated(0..<3) + ["{}"], Decoded.undated(0..<2))
            let submissions = [FlushDesk.submission(first, of: 1), FlushDesk.submission(second, of: 2)]
            let expected = [
                AccountRow(key: 1, stored: 3, rejected: 1, bytes: first.byteCount),
                AccountRow(key: 2, stored: 2, bytes: second.byteCount),
            ]
            let plan = FlushPlan(submissions, recent: RecentKeys(capacity: 1))
            if isCommitted {
                // What the first try would have sent.
                let encoder = FlushEncoder(plan: plan, rows: plan.rows, firstSeq: desk.stream << 40)
                let counts = FlushCounts(
                    stream: desk.stream,
                    flush: 1,
                    hi: desk.stream << 40 + 5,
                    offered: 5,
                    duplicates: 0,
                    rejected: 1,
                    bytes: (first + second).byteCount,
                    cuts: false,
                    trace: nil,
                    accounts: plan.accounts(countsRest: true)
                )
                let writer = try await desk.installation.database.connect(name: "first")
                _ = try await writer.simple(FlushStatement.sessionSetup, deadline: TestCluster.deadline)
                let statement = FlushStatement.deduplicating(encoder, counts)
                guard case .query(let sql, let copies) = statement else { return }
                _ = try await writer.simple(sql, copies: copies, deadline: TestCluster.deadline)
                await writer.close()
                #expect(try await desk.installation.accounts() == expected)
                #expect(
                    try await desk.store(submissions) == [
                        [.stored, .stored, .stored], [.stored, .stored],
                    ]
                )
            } else {
                let verdicts = try await desk.storeLosing(submissions)
                #expect(verdicts == [[.stored, .stored, .stored], [.stored, .stored]])
            }
            #expect(try await desk.installation.accounts() == expected)
        }
    }

    @Test func `take what comes out of a spool for the minute of its receipt`() async throws {
        try await FlushDesk.with { desk in
            try await desk.store([FlushDesk.submission(Decoded.dated([0, 4]), of: nil)])
            let (first, second) = (Decoded.dated(0..<3) + ["{}"], Decoded.dated(3..<6))
            var drained = FlushDesk.submission(second, of: 2, minute: 7)
            drained.route = .events
            let entries = [FlushDesk.submission(first, of: 1, minute: 5), drained].flatMap {
                SubmissionCodec.encode($0, mark: 0)
            }
            let spool: UInt128 = 7
            _ = try await desk.installation.sql(
                "SELECT open_spool('00000000-0000-0000-0000-000000000007', 0)"
            )
            var expected = [
                AccountRow(stored: 2, bytes: Decoded.dated([0, 4]).byteCount),
                AccountRow(key: 1, minute: 5, stored: 2, duplicates: 1, rejected: 1, bytes: first.byteCount),
                AccountRow(key: 2, minute: 7, stored: 2, duplicates: 1, bytes: second.byteCount),
            ]
            var plan = FlushPlan(
                entries.compactMap { SubmissionCodec.decode($0.payload) },
                recent: RecentKeys(capacity: 1)
            )
            plan.drained = DrainedRange(spool: spool, from: 0, to: 2, isCounted: false)
            _ = try await desk.flush.store(&plan, cuts: false, deadline: TestCluster.deadline)
            #expect(try await desk.installation.accounts() == expected)

            // A copy of a flush that was committed after all: only what is new all the same counts.
            let again = FlushDesk.submission(Decoded.dated(0..<7) + ["{}"], of: 1, minute: 5)
            plan = FlushPlan([again, drained], recent: RecentKeys(capacity: 1))
            plan.drained = DrainedRange(spool: spool, from: 2, to: 3, isCounted: true)
            _ = try await desk.flush.store(&plan, cuts: false, deadline: TestCluster.deadline)
            expected[1].stored += 1
            #expect(try await desk.installation.accounts() == expected)
        }
    }

    @Test func `stay when their node is buried`() async throws {
        try await FlushDesk.with { desk in
            let texts = Decoded.dated(0..<3)
            try await desk.store([FlushDesk.submission(texts, of: 1)])
            try await desk.installation.sql("SELECT bury_node(epoch) FROM nodes")
            #expect(try await desk.installation.number("SELECT count(*) FROM streams") == 0)
            #expect(
                try await desk.installation.accounts() == [
                    AccountRow(key: 1, stored: 3, bytes: texts.byteCount)
                ]
            )
        }
    }

    @Test func `of a node of an older version are unknown, and add up`() async throws {
        try await FlushDesk.with { desk in
            try await desk.installation.sql(
                """
                SELECT end_flush(\(desk.stream), 1, \(desk.stream << 40) + 9, 5, 3, 1, 2, 70, now(), now(),
                  false, true, NULL)
                """
            )
            let accounts = try await desk.installation.accounts()
            let now = accounts.first?.minute ?? 0
            #expect(
                accounts == [
                    AccountRow(
                        route: "unknown",
                        minute: now,
                        stored: 3,
                        duplicates: 3,
                        rejected: 2,
                        bytes: 70
                    )
                ]
            )
            #expect(now > 0)
        }
    }
}

extension FlushDesk {
    /// The same when the connection breaks before the first try's commit.
    fileprivate func storeLosing(_ submissions: [Submission]) async throws -> [[Verdict]] {
        // Connects first.
        try await store([])
        let holder = try await installation.database.connect(name: "holder")
        _ = try await holder.simple("BEGIN; SELECT FROM streams FOR UPDATE", deadline: TestCluster.deadline)
        let installation = installation
        let breaking = Task {
            let pid = try await installation.waitingWriter()
            try await installation.kill(pid)
            _ = try await installation.waitingWriter(otherThan: pid)
            await holder.close()
        }
        let verdicts = try await store(submissions)
        try await breaking.value
        return verdicts
    }
}
