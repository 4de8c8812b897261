import Events
import Postgres
import Reactor
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Ingestor that loses its connection` {
    @Test func `stores over a new one when it was lost between flushes`() async throws {
        try await Installation.with { installation in
            try await installation.withNode { node in
                _ = try await node.store(Decoded.dated([0]))
                let pid = try #require(
                    try await installation.sql(
                        """
                        SELECT pid FROM pg_stat_activity
                          WHERE datname = current_database() AND application_name LIKE '%writer-0'
                        """
                    ).first?[0]
                )
                try await installation.kill(pid)

                let verdicts = try await node.store(Decoded.dated(0..<3) + Decoded.undated([0]))
                #expect(verdicts == [.duplicate, .stored, .stored, .stored])
                #expect(try await installation.totals().stored == 4)
            }
        }
    }

    /// The outcome is unknown to the writer: the transaction was under way, and has left nothing.
    @Test(arguments: [false, true]) func `stores once what was under way and lost`(
        hasUndated: Bool
    ) async throws {
        try await Installation.with { installation in
            try await installation.withNode { node in
                _ = try await node.store(Decoded.dated([0]))
                let texts =
                    Decoded.dated(0..<5) + (hasUndated ? Decoded.undated(0..<3) : []) + ["{}"]
                    + Decoded.fresh([1])

                let storing = try await installation.holdingStreams {
                    let storing = Task { try await node.store(texts) }
                    let pid = try await installation.waitingWriter()
                    try await installation.kill(pid)
                    _ = try await installation.waitingWriter(otherThan: pid)
                    return storing
                }

                let verdicts = try await storing.value
                #expect(verdicts == [.duplicate] + Array(repeating: .stored, count: texts.count - 2))
                let stored = texts.count - 1
                #expect(try await installation.number("SELECT count(*) FROM events") == stored)
                #expect(try await installation.number("SELECT count(*) FROM rejects") == 1)
                let totals = try await installation.totals()
                #expect(totals.stored == stored && totals.duplicates == 1 && totals.rejected == 1)
            }
            try await installation.expectJobsCoverEvents()
        }
    }

    /// COMMIT has happened and waits for a standby when the connection ends: the writer cannot know.
    @Test func `reports as stored what had been committed`() async throws {
        try await Installation.with { installation in
            try await installation.withNode(sessionSetup: "SET synchronous_commit = on;") { node in
                // One after the other: the setting is the whole cluster's, though only these commits heed it.
                for hasUndated in [false, true] {
                    try await Self.loseCommit(hasUndated: hasUndated, node, installation)
                }
            }
            try await installation.expectJobsCoverEvents()
        }
    }

    private static func loseCommit(hasUndated: Bool, _ node: Node, _ installation: Installation) async throws
    {
        let before = try await installation.totals()
        // Connects: the session's setup would wait as well.
        try await node.expect(.stored, of: Decoded.fresh([0]))
        try await installation.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        try await installation.sql("SELECT pg_reload_conf()")
        // The setting is seen a moment later: commits until one of them waits.
        let storing = Task {
            var batches = 0
            while true {
                let numbers = batches * 10..<batches * 10 + 5
                let prefix = "lost-\(hasUndated)"
                let texts =
                    Decoded.dated(numbers, prefix: prefix)
                    + (hasUndated ? Decoded.undated(numbers, prefix: prefix) : []) + Decoded.fresh([0])
                let verdicts = try await node.store(texts + ["{}"])
                #expect(verdicts.allSatisfy { $0 == .stored }, "batch \(batches)")
                batches += 1
                if Task.isCancelled { return (batches: batches, events: texts.count) }
            }
        }
        // Ends with this test, whatever becomes of it.
        defer { storing.cancel() }
        let pid = try await installation.waitingWriter(on: "SyncRep")
        storing.cancel()
        // It ends the wait and the session, and then waits again: its temporary tables are dropped in a
        // transaction.
        try await installation.sql("SELECT pg_terminate_backend(\(pid))")
        let isEnding = "pid = \(pid) AND state = 'idle' AND wait_event = 'SyncRep'"
        try await installation.wait(until: "EXISTS (SELECT FROM pg_stat_activity WHERE \(isEnding))")
        try await installation.sql("ALTER SYSTEM RESET synchronous_standby_names")
        try await installation.sql("SELECT pg_reload_conf()")

        let sent = try await storing.value
        let expected = sent.batches * sent.events + 1
        let totals = try await installation.totals()
        #expect(totals.stored - before.stored == expected)
        #expect(totals.duplicates == 0 && totals.rejected - before.rejected == sent.batches)
        #expect(try await installation.number("SELECT count(*) FROM events") == totals.stored)
        #expect(try await installation.number("SELECT count(*) FROM rejects") == totals.rejected)
    }

    @Test func `counts duplicates once although their flush was sent twice`() async throws {
        try await Installation.with { installation in
            try await installation.withNode { node in
                _ = try await node.store(Decoded.dated(0..<3))

                // All known: the flush holds no row.
                let storing = try await installation.holdingStreams {
                    let storing = Task { try await node.store(Decoded.dated(0..<3)) }
                    let pid = try await installation.waitingWriter()
                    try await installation.kill(pid)
                    _ = try await installation.waitingWriter(otherThan: pid)
                    return storing
                }

                #expect(try await storing.value == [.duplicate, .duplicate, .duplicate])
                let totals = try await installation.totals()
                #expect(totals.stored == 3 && totals.duplicates == 3)
            }
        }
    }

    @Test func `says that it cannot tell when PostgreSQL takes too long, and stores once what is sent again`()
        async throws
    {
        try await Installation.with { installation in
            var limits = BatchLimits()
            limits.flushTimeout = .seconds(1)
            try await installation.withNode(limits: limits) { node in
                _ = try await node.store(Decoded.dated([0]))
                let texts = Decoded.dated(10..<15) + Decoded.undated(0..<2) + ["{}"]
                let error = try await installation.holdingStreams {
                    await #expect(throws: IngestError.self) { try await node.store(texts) }
                }
                guard case .unavailable = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }

                // Nobody tells the first try's backend that its client is gone; it may still commit.
                let verdicts = try await Self.retry {
                    try await node.store(texts)
                }
                #expect(verdicts.allSatisfy { $0 == .stored } || verdicts.allSatisfy { $0 == .duplicate })
                #expect(try await installation.number("SELECT count(*) FROM events") == 8)
                let totals = try await installation.totals()
                #expect(totals.stored == 8)
            }
            try await installation.expectJobsCoverEvents()
        }
    }

    /// Sends again as a client does that is told to.
    private static func retry(
        _ send: () async throws -> [Verdict]
    ) async throws -> [Verdict] {
        let deadline = TestCluster.deadline
        while true {
            do {
                return try await send()
            } catch {
                if Deadline.now() >= deadline { throw error }
            }
        }
    }

    @Test func `stores what waited while the database was away`() async throws {
        try await Installation.with { installation in
            try await installation.withNode { node in
                _ = try await node.store(Decoded.dated([0]))
                let name = installation.database.name
                let other = try await installation.database.cluster.connect(to: "postgres")
                _ = try await other.query(
                    "ALTER DATABASE \(name) ALLOW_CONNECTIONS false",
                    deadline: TestCluster.deadline
                )
                let ended = try await other.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        + "WHERE application_name LIKE '%writer-0' AND datname = $1",
                    [name],
                    deadline: TestCluster.deadline
                )
                #expect(ended.rows.count == 1)

                let storing = Task { try await node.store(Decoded.dated(0..<4)) }
                _ = try await other.query(
                    "ALTER DATABASE \(name) ALLOW_CONNECTIONS true",
                    deadline: TestCluster.deadline
                )

                #expect(try await storing.value.count == 4)
                #expect(try await installation.totals().stored == 4)
                await other.close()
            }
        }
    }
}
