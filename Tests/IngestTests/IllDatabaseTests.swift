import Events
import Postgres
import Reactor
import Spool
import TestSupport
import Testing

@testable import Ingest

/// A database that is there and takes nothing, in ways that pass: no event is lost, none is stored or counted
/// twice, and nobody has to do anything but cure it.
@Suite(.timeLimit(.minutes(3))) struct `Database that is ill` {
    private static let texts = Decoded.dated(0..<5) + Decoded.undated(0..<3) + Decoded.fresh([1]) + ["{}"]

    /// With the spool's own bookkeeping possible the breaker closes again and again, without it never.
    @Test(arguments: [["events"], ["events", "spools", "lost_flushes"]])
    func `has its events in the spool while its disk is full`(tables: [String]) async throws {
        try await Installation.with { installation in
            var diversion = DiversionLimits()
            diversion.breaker.pauseMax = .milliseconds(200)
            try await TestSpools.with { spool in
                try await installation.withNode(writers: 2, spool: spool, diversion: diversion) { node in
                    try await node.expect(.stored, of: Decoded.dated([0]))
                    try await installation.sql("CREATE SEQUENCE tries")
                    try await installation.sql(
                        """
                        CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                          PERFORM nextval('tries');
                          RAISE 'could not extend file' USING ERRCODE = 'disk_full';
                        END $$
                        """
                    )
                    for table in tables {
                        try await installation.sql(
                            "CREATE TRIGGER fill BEFORE INSERT OR UPDATE ON \(table) EXECUTE FUNCTION fill()"
                        )
                    }
                    for _ in 0..<3 { try await node.expect(.spooled, of: Self.texts.dropLast()) }
                    let verdicts = try await node.store(Self.texts)
                    #expect(verdicts == Array(repeating: .spooled, count: 9))
                    // However often the spool tries, no record is taken to be at fault.
                    try await installation.wait(until: "(SELECT last_value FROM tries) > 20")
                    #expect(spool.facts.events == 37 && spool.facts.withheldEvents == 0)

                    for table in tables { try await installation.sql("DROP TRIGGER fill ON \(table)") }
                    try await Self.expectOnce(installation, received: 38)
                }
            }
        }
    }

    /// Its connections are all taken: the writers', and those of whoever asks whether it is back.
    @Test func `has its events in the spool while it has no connection left`() async throws {
        try await Installation.with { installation in
            let role = "limited_\(installation.database.name)"
            // What it may do it gets from us; the limit does not hold for superusers.
            try await installation.sql("CREATE ROLE \(role) LOGIN IN ROLE CURRENT_USER")
            try await TestSpools.with { spool in
                try await installation.withNode(writers: 2, spool: spool, user: role) { node in
                    try await node.expect(.stored, of: Decoded.dated([0]))
                    try await installation.sql("ALTER ROLE \(role) CONNECTION LIMIT 0")
                    try await installation.sql(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '\(role)'"
                    )
                    try await installation.wait(
                        until: "NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = '\(role)')"
                    )
                    let verdicts = try await node.store(Self.texts)
                    #expect(verdicts == Array(repeating: .spooled, count: 9))

                    try await installation.sql("ALTER ROLE \(role) CONNECTION LIMIT -1")
                    try await Self.expectOnce(installation, received: 11)
                }
            }
            try await installation.wait(
                until: "NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = '\(role)')"
            )
            try await installation.sql("DROP OWNED BY \(role)")
            try await installation.sql("DROP ROLE \(role)")
        }
    }

    /// The flush waits for a lock and commits in the end, after its sender was told that the spool has it.
    @Test func `counts once what hangs, goes to the spool and is committed after all`() async throws {
        try await Installation.with { installation in
            var limits = BatchLimits()
            limits.flushTimeout = .seconds(1)
            try await TestSpools.with { spool in
                try await installation.withNode(writers: 2, limits: limits, spool: spool) { node in
                    try await node.expect(.stored, of: Decoded.dated([0]))
                    try await installation.holdingStreams {
                        let verdicts = try await node.store(Self.texts)
                        #expect(verdicts == Array(repeating: .spooled, count: 9))
                        // Nobody has cancelled it: it may be at its commit.
                        _ = try await installation.waitingWriter()
                        #expect(spool.facts.events == 10)
                    }
                    try await Self.expectOnce(installation, received: 11)
                }
            }
            try await installation.sql("SELECT bury_node(epoch) FROM nodes")
            try await installation.expectJobsCoverEvents()
        }
    }

    /// All of them but the first event are new the first time; of `fresh` ones each is.
    private static func expectOnce(_ installation: Installation, received: Int) async throws {
        try await installation.wait(
            until: """
                (SELECT sum(n) FROM
                  (SELECT received AS n FROM streams UNION ALL SELECT received FROM totals) a) >= \(received)
                """
        )
        let rows = try await installation.number("SELECT count(*) FROM events")
        let totals = try await installation.totals()
        #expect(totals.stored == rows && totals.rejected == 1)
        #expect(totals.stored + totals.duplicates + totals.rejected == received)
        #expect(try await installation.number("SELECT count(*) FROM events WHERE id LIKE 'e-%'") == 5)
        #expect(try await installation.number("SELECT count(*) FROM events WHERE id LIKE 'u-%'") == 3)
    }
}
