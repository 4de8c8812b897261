import Testing

/// All that the database says about events: how many of each type, and a sum over every bit of them.
struct StoredFacts: Equatable {
    /// Rows of `events` by type.
    var rows: [String: Int] = [:]
    /// Different keys among them.
    var keys: [String: Int] = [:]
    /// Events that `rollups_minute` counts.
    var minutes: [String: Int] = [:]
    /// Events that the rollups of days count, or those that stand in for them.
    var days: [String: Int] = [:]
    /// Events that `rollups_type` counts.
    var types: [String: Int] = [:]
    /// Minutes with a type and a source of which table and rollups count differently.
    var differences = 0
    var deadJobs = 0
    /// By how much the accounts differ from the totals.
    var mismatches: [[String?]] = []
    /// Of all columns of all rows, sketches included.
    var checksums: [String] = []

    static func read(_ installation: Installation) async throws -> StoredFacts {
        var facts = StoredFacts()
        for row in try await installation.query(
            "SELECT type, count(*), count(DISTINCT key) FROM events GROUP BY type"
        ) {
            facts.rows[row[0] ?? ""] = row[1].flatMap { Int($0) }
            facts.keys[row[0] ?? ""] = row[2].flatMap { Int($0) }
        }
        facts.minutes = try await counts(
            "SELECT type, sum(events) FROM rollups_minute GROUP BY type",
            installation
        )
        facts.days = try await counts(
            "SELECT type, sum(events) FROM day_rollups('0001-01-01', '9999-01-01') GROUP BY type",
            installation
        )
        facts.types = try await counts("SELECT type, events FROM rollups_type", installation)
        facts.differences = try await installation.number(
            """
            SELECT count(*) FROM rollups_minute r FULL JOIN
                (SELECT date_trunc('minute', ts, 'UTC') AS minute, type, source, count(*) AS events
                   FROM events GROUP BY 1, 2, 3) e USING (minute, type, source)
              WHERE r.events IS DISTINCT FROM e.events
            """
        )
        facts.mismatches = try await installation.query("SELECT * FROM accounts_mismatch")
        facts.deadJobs = try await installation.number("SELECT count(*) FROM dead_jobs")
        for table in ["events", "event_keys", "rollups_minute", "rollups_type"] {
            let sum = try await installation.query("SELECT sum(hashtextextended(t::text, 0)) FROM \(table) t")
            facts.checksums.append("\(table) \((sum.first?.first ?? nil) ?? "empty")")
        }
        return facts
    }

    private static func counts(_ sql: String, _ installation: Installation) async throws -> [String: Int] {
        var counts: [String: Int] = [:]
        for row in try await installation.query(sql) { counts[row[0] ?? ""] = row[1].flatMap { Int($0) } }
        return counts
    }

    /// Holds them against what was sent: every event once in the table, and once in each rollup.
    func expect(
        _ expected: [String: Int],
        _ comment: Comment,
        _ location: SourceLocation = #_sourceLocation
    ) {
        #expect(rows == expected, comment, sourceLocation: location)
        #expect(keys == expected, comment, sourceLocation: location)
        #expect(minutes == expected, comment, sourceLocation: location)
        #expect(days == expected, comment, sourceLocation: location)
        #expect(types == expected, comment, sourceLocation: location)
        #expect(differences == 0, comment, sourceLocation: location)
        #expect(deadJobs == 0, comment, sourceLocation: location)
        #expect(mismatches == [Array(repeating: "0", count: 6)], comment, sourceLocation: location)
    }
}
