package import Reactor

/// Makes the day partitions of a table that is partitioned by a timestamptz column, ahead of time.
///
/// Days are UTC and follow the server's clock. Partitions are contiguous: each call goes on from the newest
/// one, so that days which the service slept through exist too and days which retention dropped do not come
/// back. There is no DEFAULT partition: each new day would have to scan it. Any number of nodes may call at
/// once.
package struct PartitionKeeper: Equatable, Sendable {
    /// The partitioned table, an SQL identifier without quotes.
    package let table: String
    /// Whether one partition holds all that is older than `daysBack` before installation.
    package let hasHistory: Bool
    /// Day partitions before the day of installation.
    package let daysBack: Int
    /// Day partitions after today.
    package let daysAhead: Int
    /// What the server takes for the present; a test says another time.
    var now = "now()"

    /// Keeps the partitions of `table`.
    package init(table: String, hasHistory: Bool, daysBack: Int, daysAhead: Int = 8) {
        precondition(
            table.utf8.allSatisfy { $0 == 0x5F || 0x61...0x7A ~= $0 || 0x30...0x39 ~= $0 }
                && table.utf8.count <= 48,
            "the name needs no quotes and leaves room for a day"
        )
        self.table = table
        self.hasHistory = hasHistory
        self.daysBack = daysBack
        self.daysAhead = daysAhead
    }

    /// `events`, which takes times of any age: a history partition and a month of days before installation.
    package static let events = PartitionKeeper(table: "events", hasHistory: true, daysBack: 31)
    /// `rejects`, by receive time; the day before for nodes whose clocks are behind.
    package static let rejects = PartitionKeeper(table: "rejects", hasHistory: false, daysBack: 1)
    /// `job_outcomes`, by the time a job ended, which is the server's.
    package static let jobOutcomes = PartitionKeeper(table: "job_outcomes", hasHistory: false, daysBack: 1)

    /// Makes what is missing, in one transaction, and returns the names of all partitions, oldest first.
    package func ensure(
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(PostgresError) -> [String] {
        let results = try await connection.simple(sql, deadline: deadline)
        return results.last?.rows.compactMap { $0.first ?? nil } ?? []
    }

    /// A partition is made as a table of its own and attached: CREATE TABLE … PARTITION OF would take an
    /// ACCESS EXCLUSIVE lock of the parent and wait behind, and hold up, every query; ATTACH lets reads and
    /// writes go on.
    private var sql: String {
        """
        SET LOCAL TIME ZONE 'UTC';
        SELECT pg_advisory_xact_lock(hashtextextended('millrace partitions of \(table)', 0));
        DO $keeper$
        DECLARE
            today date := (\(now))::timestamptz::date;
            day date;
            part text;
        BEGIN
            SELECT max(substring(pg_get_expr(c.relpartbound, c.oid)
              FROM 'TO \\(''(.+?)''')::timestamptz)::date
                INTO day FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = '\(table)'::regclass;
            IF day IS NULL THEN
                day := today - \(daysBack);
                IF \(hasHistory) THEN
                    CREATE TABLE \(table)_history (LIKE \(table) INCLUDING ALL EXCLUDING IDENTITY);
                    EXECUTE format('ALTER TABLE \(table) ATTACH PARTITION \(table)_history '
                        'FOR VALUES FROM (MINVALUE) TO (%L)', day::timestamptz);
                END IF;
            END IF;
            WHILE day <= today + \(daysAhead) LOOP
                part := '\(table)_' || to_char(day, 'YYYYMMDD');
                EXECUTE format('CREATE TABLE %I (LIKE \(table) INCLUDING ALL EXCLUDING IDENTITY)', part);
                EXECUTE format('ALTER TABLE \(table) ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                    part, day::timestamptz, (day + 1)::timestamptz);
                day := day + 1;
            END LOOP;
        END
        $keeper$;
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = '\(table)'::regclass
            ORDER BY c.relname = '\(table)_history' DESC, c.relname
        """
    }
}
