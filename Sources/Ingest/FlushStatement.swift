import Events
import Postgres

/// What a flush counts besides its rows, and whether it cuts a job.
struct FlushCounts: Equatable, Sendable {
    let stream: Int64
    /// The flush's number in its stream: a flush that is sent again keeps it, and counts once.
    let flush: Int64
    /// One past the last seq that it uses.
    let hi: Int64
    let offered: Int
    let duplicates: Int
    let rejected: Int
    let bytes: Int
    let cuts: Bool
}

/// The SQL of a flush: one simple Query, so one transaction, and one round trip.
struct FlushStatement: Sendable {
    let sql: String
    let copies: [CopyStream]

    /// Straight into the table, at COPY's full speed; any conflict refuses the whole.
    static func optimistic(_ encoder: FlushEncoder, _ counts: FlushCounts) -> FlushStatement {
        var sql = ""
        var copies: [CopyStream] = []
        if !encoder.rows.isEmpty {
            sql += "COPY events (\(FlushEncoder.eventColumns)) FROM STDIN (FORMAT binary);"
            copies.append(encoder.events(forStaging: false))
        }
        if counts.rejected > 0 {
            sql += "COPY rejects (\(FlushEncoder.rejectColumns)) FROM STDIN (FORMAT binary);"
            copies.append(encoder.rejects())
        }
        let first = encoder.rows.first.map { literal($0.ts) } ?? "NULL"
        let last = encoder.rows.last.map { literal($0.ts) } ?? "NULL"
        sql +=
            "SELECT \(endFlush(counts, stored: "\(counts.offered)", first: first, last: last, isFirst: true))"
        return FlushStatement(sql: sql, copies: copies)
    }

    /// Through `staging`, where what is there already is passed over.
    ///
    /// Its last result lists the seqs that are ours.
    ///
    /// Sent again after an unknown outcome, it finds rows with our own seqs: they are stored, by the first
    /// try. The verdicts are read by a statement of their own, so that they see a first try that committed in
    /// the meantime. The main query asks for `ended`, so that no plan can leave the fence out, not even for
    /// want of rejects.
    static func deduplicating(_ encoder: FlushEncoder, _ counts: FlushCounts) -> FlushStatement {
        var sql = "COPY staging (\(FlushEncoder.eventColumns), undated) FROM STDIN (FORMAT binary);"
        var copies = [encoder.events(forStaging: true)]
        if counts.rejected > 0 {
            sql += "COPY staging_rejects (\(FlushEncoder.rejectColumns)) FROM STDIN (FORMAT binary);"
            copies.append(encoder.rejects())
        }
        let end = endFlush(
            counts,
            stored: "(SELECT count(*) FROM added)",
            first: "(SELECT min(ts) FROM added)",
            last: "(SELECT max(ts) FROM added)",
            isFirst: false
        )
        sql += """
            WITH fresh AS (
              INSERT INTO event_keys (key, bucket, ts)
                SELECT key, bucket, ts FROM staging s WHERE undated AND NOT EXISTS
                  (SELECT FROM event_keys_previous p WHERE p.key = s.key AND p.bucket = s.bucket)
                ORDER BY key ON CONFLICT DO NOTHING RETURNING key),
            added AS (
              INSERT INTO events (\(FlushEncoder.eventColumns))
                SELECT \(FlushEncoder.eventColumns) FROM staging
                  WHERE NOT undated OR key IN (SELECT key FROM fresh)
                ORDER BY ts, key ON CONFLICT DO NOTHING RETURNING ts),
            ended AS (SELECT \(end) AS counts),
            kept AS (
              INSERT INTO rejects (\(FlushEncoder.rejectColumns))
                SELECT \(FlushEncoder.rejectColumns) FROM staging_rejects WHERE (SELECT counts FROM ended))
            SELECT counts FROM ended;
            SELECT s.seq FROM staging s JOIN events e ON e.ts = s.ts AND e.key = s.key AND e.bucket = s.bucket
              WHERE e.seq = s.seq
            """
        return FlushStatement(sql: sql, copies: copies)
    }

    /// What a writer's session needs before ``deduplicating(_:_:)``.
    static let sessionSetup = """
        CREATE TEMPORARY TABLE IF NOT EXISTS staging (LIKE events) ON COMMIT DELETE ROWS;
        ALTER TABLE staging ADD COLUMN IF NOT EXISTS undated boolean;
        CREATE TEMPORARY TABLE IF NOT EXISTS staging_rejects (LIKE rejects) ON COMMIT DELETE ROWS;
        ALTER TABLE staging_rejects ALTER COLUMN n DROP NOT NULL;
        -- The tables above have no statistics: a join with them must look rows up, never scan a partition.
        SET enable_hashjoin = off;
        SET enable_mergejoin = off;
        """

    private static func endFlush(
        _ counts: FlushCounts,
        stored: String,
        first: String,
        last: String,
        isFirst: Bool
    ) -> String {
        """
        end_flush(\(counts.stream), \(counts.flush), \(counts.hi), \(counts.offered), \(stored), \
        \(counts.duplicates), \(counts.rejected), \(counts.bytes), \(first), \
        \(last), \(counts.cuts), \(isFirst))
        """
    }

    private static func literal(_ microseconds: Int64) -> String {
        "'\(String(decoding: Timestamp.format(microseconds), as: UTF8.self))'::timestamptz"
    }
}
