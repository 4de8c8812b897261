import Logging
import Postgres
import Reactor

/// What a database that the service is to work with says of itself.
///
/// The rules are apart from the asking, so that every one of them can be tested.
enum DatabaseCheck {
    /// What was asked for in one query.
    struct Facts: Equatable, Sendable {
        /// Such as 150018.
        var version = 0
        /// By name, as SHOW prints them.
        var settings: [String: String] = [:]
        var isReadOnly = false
        /// Connections that nobody uses and that an ordinary role may.
        var connectionsLeft = 0
        /// How far its clock is ahead of ours.
        var clockAhead = Duration.zero
        var roundTrip = Duration.zero

        init() {}
    }

    /// The oldest version whose syntax the migrations use.
    private static let versionMin = 14
    /// Writers, the jobs' side, the read lane, keys, accounts, partitions.
    private static let connectionsBesidesWriters = 16
    private static let clockMax = Duration.seconds(2)
    private static let roundTripMax = Duration.milliseconds(5)
    private static let timeout = Duration.seconds(10)
    /// Settings without which a commit is no promise, and what they must not be.
    private static let durability = [
        ("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "off"),
    ]

    static func findings(_ facts: Facts, writers: Int) -> [Finding] {
        var findings = [version(facts.version)]
        let lost = durability.filter { facts.settings[$0.0] == $0.1 }.map(\.0)
        findings.append(
            lost.isEmpty
                ? .fine("durability", "fsync, full_page_writes and synchronous_commit are on")
                : .failure(
                    "durability",
                    "\(lost.joined(separator: ", ")) off",
                    "What is answered as committed would not survive a crash: switch on, for this database."
                )
        )
        if facts.isReadOnly {
            findings.append(.failure("database", "read only", "Name the primary, not a standby."))
        }
        let needed = connectionsBesidesWriters + writers
        findings.append(
            facts.connectionsLeft >= needed
                ? .fine("connections", "\(facts.connectionsLeft) left, up to \(needed) needed")
                : .warning(
                    "connections",
                    "\(facts.connectionsLeft) left, up to \(needed) needed",
                    "Raise max_connections, or end what holds them."
                )
        )
        findings.append(clock(facts.clockAhead))
        let trip = SendTotals.grouped(Int(facts.roundTrip.milliseconds))
        findings.append(
            facts.roundTrip <= roundTripMax
                ? .fine("round trip", "\(trip) ms")
                : .warning("round trip", "\(trip) ms", "Each flush waits for one: move the service nearer.")
        )
        return findings
    }

    private static func version(_ number: Int) -> Finding {
        let text = "PostgreSQL \(number / 10_000).\(number % 10_000)"
        if number / 10_000 >= versionMin { return .fine("database", text) }
        return .failure("database", text, "Upgrade it to version \(versionMin) or later.")
    }

    private static func clock(_ ahead: Duration) -> Finding {
        let text =
            "the database's is \(SendTotals.grouped(Int(ahead.milliseconds))) ms ahead of this machine's"
        if max(ahead, .zero - ahead) <= clockMax { return .fine("clock", text) }
        return .warning("clock", text, "Events without a time get this machine's: synchronize both (NTP).")
    }

    // MARK: Asking

    static func check(_ conninfo: String, writers: Int, on loop: EventLoop) async -> [Finding] {
        let connection = PostgresConnection(
            PostgresConfiguration(conninfo: conninfo),
            name: "doctor",
            loop: loop,
            logger: Logger(label: "doctor") { LineLogHandler(label: $0, format: .text, level: .critical) }
        )
        let deadline = Deadline.after(timeout)
        var findings: [Finding]
        do throws(PostgresError) {
            try await connection.connect(deadline: deadline)
            findings = Self.findings(try await facts(connection, deadline), writers: writers)
            findings.append(await schema(connection, deadline))
        } catch {
            findings = [
                .failure(
                    "database",
                    SecretMask.mask("\(error)"),
                    "Check --database or DATABASE_URL, that the server runs, and that it lets you in."
                )
            ]
        }
        await connection.close()
        return findings
    }

    private static func facts(
        _ connection: PostgresConnection,
        _ deadline: Deadline
    ) async throws(PostgresError) -> Facts {
        var facts = Facts()
        let names = durability.map { "current_setting('\($0.0)')" }.joined(separator: ", ")
        let began = Deadline.now()
        let before = WallClock.microseconds()
        let result = try await connection.query(
            """
            SELECT current_setting('server_version_num'), pg_is_in_recovery()
                     OR current_setting('default_transaction_read_only') = 'on',
                   current_setting('max_connections')::int
                     - current_setting('superuser_reserved_connections')::int
                     - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                   (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, \(names)
            """,
            deadline: deadline
        )
        facts.roundTrip = Deadline.now().duration(since: began)
        let after = WallClock.microseconds()
        guard let row = result.rows.first, row.count == 4 + durability.count else { return facts }
        facts.version = row[0].flatMap { Int($0) } ?? 0
        facts.isReadOnly = row[1] == "t"
        facts.connectionsLeft = row[2].flatMap { Int($0) } ?? 0
        let theirs = row[3].flatMap { Int64($0) } ?? 0
        // Somewhere between the two is the moment at which it looked at its clock.
        let ahead = theirs > after ? theirs - after : theirs < before ? theirs - before : 0
        facts.clockAhead = .microseconds(ahead)
        for (index, setting) in durability.enumerated() { facts.settings[setting.0] = row[4 + index] }
        return facts
    }

    private static func schema(_ connection: PostgresConnection, _ deadline: Deadline) async -> Finding {
        do throws(MigrationError) {
            let status = try await Migrator().status(on: connection, deadline: deadline)
            let pending = status.count { $0.appliedAt == nil }
            let version = status.last { $0.appliedAt != nil }?.migration.version ?? 0
            if pending == 0 { return .fine("schema", "version \(version), up to date") }
            return .fine(
                "schema",
                "version \(version), \(pending) steps to go: 'serve' does them at its start"
            )
        } catch {
            return .failure(
                "schema",
                SecretMask.mask(error.description),
                "Use the version of millrace that the database belongs to."
            )
        }
    }
}
