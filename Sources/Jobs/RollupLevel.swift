/// A level of rollups above the minutes: each of its rollups is made of those of the next finer level.
enum RollupLevel: CaseIterable, Sendable {
    case hour
    case day

    /// For the transaction that has changed minutes, whose keys are in `rollup_keys`: says that their hours
    /// and days are to be made anew.
    ///
    /// A row that is stale already is locked all the same, so that whoever makes it anew waits for this
    /// transaction or does without the row.
    static let marksSQL = allCases.map(\.markSQL).joined()

    private var markSQL: String {
        """
        INSERT INTO \(table) AS l (start, type, source)
            SELECT DISTINCT date_trunc('\(unit)', minute, 'UTC') AS start, type, source FROM rollup_keys
              ORDER BY start, type, source
            ON CONFLICT (start, type, source) DO UPDATE SET is_stale = true WHERE NOT l.is_stale;
        """
    }

    /// For a new transaction: takes some stale rollups whose time is over and that nobody holds, and returns
    /// what each is made of, in the order of their numbers.
    ///
    /// The second statement sees all that was committed before the first one had its locks. A rollup of which
    /// a part is stale, the second column, must not be made: the part comes first.
    func takeSQL(atMost count: Int) -> String {
        """
        INSERT INTO level_keys (ord, start, type, source)
            SELECT row_number() OVER (), start, type, source FROM (
              SELECT start, type, source FROM \(table) r
                WHERE is_stale AND start < date_trunc('\(unit)', now(), 'UTC') \(isReady)
                ORDER BY start, type, source LIMIT \(count) FOR UPDATE OF r SKIP LOCKED) k;
        SELECT k.ord, coalesce(\(parts.isStale), false), coalesce(f.events, 0), f.subjects, f.fields
            FROM level_keys k LEFT JOIN \(parts.table) f
              ON f.\(parts.time) = ANY (
                ARRAY(SELECT k.start + n * interval '1 \(parts.unit)'
                        FROM generate_series(0, \(parts.count - 1)) n))
              AND f.type = k.type AND f.source = k.source
            ORDER BY k.ord
        """
    }

    /// Writes what was taken, and ends the transaction.
    var writeSQL: String {
        """
        COPY level_made FROM STDIN (FORMAT binary);
        UPDATE \(table) r SET events = m.events, subjects = m.subjects, fields = m.fields, is_stale = false
            FROM level_made m JOIN level_keys k USING (ord)
            WHERE r.start = k.start AND r.type = k.type AND r.source = k.source;
        COMMIT
        """
    }

    /// The scratch tables of a connection that makes rollups anew.
    static let sessionSetup = """
        CREATE TEMPORARY TABLE IF NOT EXISTS level_keys (
            ord int, start timestamptz, type text, source text) ON COMMIT DELETE ROWS;
        CREATE TEMPORARY TABLE IF NOT EXISTS level_made (
            ord int, events bigint, subjects bytea, fields bytea) ON COMMIT DELETE ROWS;
        -- The scratch tables have no statistics: a join with them must look rows up, never scan the others.
        SET enable_hashjoin = off;
        SET enable_mergejoin = off
        """

    private var table: String {
        switch self {
        case .hour: "rollups_hour"
        case .day: "rollups_day"
        }
    }

    private var unit: String {
        switch self {
        case .hour: "hour"
        case .day: "day"
        }
    }

    /// A day waits for its hours: made of minutes it would cost sixty times as much.
    private var isReady: String {
        switch self {
        case .hour: ""
        case .day:
            """
            AND NOT EXISTS (SELECT FROM rollups_hour h
                WHERE h.is_stale AND h.type = r.type AND h.source = r.source
                    AND h.start >= r.start AND h.start < r.start + interval '24 hours')
            """
        }
    }

    private var parts: (table: String, time: String, unit: String, count: Int, isStale: String) {
        switch self {
        case .hour: ("rollups_minute", "minute", "minute", 60, "false")
        case .day: ("rollups_hour", "start", "hour", 24, "f.is_stale")
        }
    }
}
