import Events
import HTTP
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
    /// Less than none for a replay: what it takes away from the rejects.
    let rejected: Int
    let bytes: Int
    let cuts: Bool
    /// The trace of a job that is cut of it.
    let trace: String?
    /// What of a spool is forgotten with it.
    var drained: DrainedRange?
    let accounts: FlushAccounts
}

/// How a flush is told to PostgreSQL: one message, so one transaction.
enum FlushStatement: Sendable {
    /// A simple Query with its COPY payloads; each COPY waits for PostgreSQL to ask for its payload.
    case query(String, copies: [CopyStream])
    /// ``insertName`` with its parameters: one round trip, nothing to parse, but more work a row.
    case insert([BinaryValue])

    /// Rows up to which the round trips that a COPY costs weigh more than what it saves a row; measured.
    static let insertRowsMax = 128

    /// Straight into the table; any conflict refuses the whole.
    static func optimistic(_ encoder: FlushEncoder, _ counts: FlushCounts) -> FlushStatement {
        let rows = encoder.rows
        if (1...insertRowsMax).contains(rows.count), counts.rejected == 0 {
            return insert(encoder, counts)
        }
        return copy(encoder, counts)
    }

    private static func insert(_ encoder: FlushEncoder, _ counts: FlushCounts) -> FlushStatement {
        let numbers = [
            counts.stream, counts.flush, counts.hi, Int64(counts.offered), Int64(counts.duplicates),
            Int64(counts.bytes),
        ]
        let times = [encoder.rows.first, encoder.rows.last].map { row in
            row.map { BinaryValue(timestamp: $0.ts) } ?? BinaryValue(bytes: nil)
        }
        return .insert(
            encoder.eventArrays() + numbers.map { BinaryValue(int64: $0) } + times
                + [BinaryValue(bool: counts.cuts), BinaryValue(bytes: counts.trace.map { Array($0.utf8) })]
                + counts.accounts.arrays
        )
    }

    static let insertName = "insert_events"

    /// Prepares ``insertName``.
    private static let prepareInsert: String = {
        let types = FlushEncoder.eventTypes.map { "\($0)[]" }
        let arrays = types.indices.map { "$\($0 + 1)" }.joined(separator: ", ")
        let next = types.count
        let counts = (1...17).map { "$\(next + $0)" }
        let end = EndFlush(
            stream: counts[0],
            flush: counts[1],
            hi: counts[2],
            offered: counts[3],
            stored: counts[3],
            duplicates: counts[4],
            rejected: "0",
            bytes: counts[5],
            first: counts[6],
            last: counts[7],
            cuts: counts[8],
            isFirst: true,
            trace: counts[9],
            accounts: FlushAccounts.Columns(counts[10...])
        )
        return """
            PREPARE \(insertName) (
              \(types.joined(separator: ", ")),
              int8, int8, int8, int8, int8, int8, timestamptz, timestamptz, bool,
              text, \(FlushAccounts.types.map { "\($0)[]" }.joined(separator: ", "))
            ) AS WITH added AS (
              INSERT INTO events (\(FlushEncoder.eventColumns)) SELECT * FROM unnest(\(arrays)))
            SELECT \(end.sql);
            -- Its plan is the same whatever the parameters are.
            SET plan_cache_mode = force_generic_plan;
            """
    }()

    /// At COPY's full speed.
    private static func copy(_ encoder: FlushEncoder, _ counts: FlushCounts) -> FlushStatement {
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
        let end = EndFlush(counts, stored: "\(counts.offered)", first: first, last: last, isFirst: true)
        sql += "SELECT \(end.sql)"
        return .query(sql, copies: copies)
    }

    /// Through `staging`, where what is there already is passed over.
    ///
    /// Its last result lists the seqs that are ours.
    ///
    /// Sent again after an unknown outcome, it finds rows with our own seqs: they are stored, by the first
    /// try. The verdicts are read by a statement of their own, so that they see a first try that committed in
    /// the meantime. The main query asks for `ended`, so that no plan can leave the fence out, not even for
    /// want of rejects. A replay takes its rejects away there, unless its first try has done so.
    static func deduplicating(_ encoder: FlushEncoder, _ counts: FlushCounts) -> FlushStatement {
        var sql = counts.drained.map { advance($0, counts) } ?? ""
        sql += "COPY staging (\(FlushEncoder.eventColumns), undated) FROM STDIN (FORMAT binary);"
        var copies = [encoder.events(forStaging: true)]
        if counts.rejected > 0 {
            sql += "COPY staging_rejects (\(FlushEncoder.rejectColumns)) FROM STDIN (FORMAT binary);"
            copies.append(encoder.rejects())
        }
        var end = EndFlush(
            counts,
            stored: "(SELECT count(*) FROM added)",
            first: "(SELECT min(ts) FROM added)",
            last: "(SELECT max(ts) FROM added)",
            isFirst: false
        )
        end.accounts.stored = counts.accounts.added(firstSeq: encoder.firstSeq)
        // All were counted; if some are new all the same, these were not.
        if counts.drained?.isCounted == true {
            end.offered = end.stored
            end.accounts.offered = end.accounts.stored
        }
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
                ORDER BY ts, key ON CONFLICT DO NOTHING RETURNING ts, seq),
            ended AS (SELECT \(end.sql) AS counts),
            kept AS (
              INSERT INTO rejects (\(FlushEncoder.rejectColumns))
                SELECT \(FlushEncoder.rejectColumns) FROM staging_rejects WHERE (SELECT counts FROM ended))
            SELECT \(taking(encoder.plan)) FROM ended;
            SELECT s.seq FROM staging s JOIN events e ON e.ts = s.ts AND e.key = s.key AND e.bucket = s.bucket
              WHERE e.seq = s.seq
            """
        return .query(sql, copies: copies)
    }

    /// The SQLSTATE with which `take_rejects` says that a reject is gone.
    static let goneState = "MR004"

    private static func taking(_ plan: FlushPlan) -> String {
        guard let replay = plan.replay, let requestID = plan.submissions.first?.requestID else {
            return "counts"
        }
        let numbers = replay.rejects.map { "\($0.n)" }.joined(separator: ",")
        let times = replay.rejects.map { Timestamp.text($0.receivedAt) }
        return """
            CASE WHEN counts THEN take_rejects('{\(numbers)}', '{\(times.joined(separator: ","))}',
              \(quoted(replay.actor)), \(quoted(requestID.text))) END
            """
    }

    /// Comes first: whoever drains what is drained already does nothing else.
    private static func advance(_ drained: DrainedRange, _ counts: FlushCounts) -> String {
        let spool = String(decoding: formatUUID(drained.spool), as: UTF8.self)
        return """
            SELECT advance_spool('\(spool)', \(drained.from), \(drained.to),
              \(counts.stream), \(counts.flush));
            """
    }

    /// The SQLSTATE with which ``probing(_:)`` ends where no row is at fault.
    static let probeState = "MR003"

    /// Finds out whether the rows can be stored: always undone, by an error of its own if by no other.
    static func probing(_ encoder: FlushEncoder) -> FlushStatement {
        let sql = """
            COPY staging (\(FlushEncoder.eventColumns), undated) FROM STDIN (FORMAT binary);
            INSERT INTO events (\(FlushEncoder.eventColumns)) SELECT \(FlushEncoder.eventColumns) FROM staging
              ORDER BY ts, key ON CONFLICT DO NOTHING;
            DO 'BEGIN RAISE EXCEPTION ''undone'' USING ERRCODE = ''\(probeState)''; END'
            """
        return .query(sql, copies: [encoder.events(forStaging: true)])
    }

    /// What a writer's session needs.
    static let sessionSetup = stagingTables + prepareInsert

    private static let stagingTables = """
        CREATE TEMPORARY TABLE IF NOT EXISTS staging (LIKE events) ON COMMIT DELETE ROWS;
        ALTER TABLE staging ADD COLUMN IF NOT EXISTS undated boolean;
        CREATE TEMPORARY TABLE IF NOT EXISTS staging_rejects (LIKE rejects) ON COMMIT DELETE ROWS;
        ALTER TABLE staging_rejects ALTER COLUMN n DROP NOT NULL;
        -- The tables above have no statistics: a join with them must look rows up, never scan a partition.
        SET enable_hashjoin = off;
        SET enable_mergejoin = off;
        """

    private static func quoted(_ text: String) -> String { "'\(text.replacing("'", with: "''"))'" }

    private static func literal(_ microseconds: Int64) -> String {
        "'\(Timestamp.text(microseconds))'::timestamptz"
    }
}

/// A call of `end_flush`; each argument is an SQL expression.
private struct EndFlush {
    var stream: String
    var flush: String
    var hi: String
    var offered: String
    var stored: String
    var duplicates: String
    var rejected: String
    var bytes: String
    var first: String
    var last: String
    var cuts: String
    var isFirst: Bool
    var trace: String
    var accounts: FlushAccounts.Columns

    var sql: String {
        """
        end_flush(\(stream), \(flush), \(hi), \(offered), \(stored), \(duplicates), \(rejected), \(bytes), \
        \(first), \(last), \(cuts), \(isFirst), \(trace), \(accounts.sql))
        """
    }
}

extension EndFlush {
    init(_ counts: FlushCounts, stored: String, first: String, last: String, isFirst: Bool) {
        self.init(
            stream: "\(counts.stream)",
            flush: "\(counts.flush)",
            hi: "\(counts.hi)",
            offered: "\(counts.offered)",
            stored: stored,
            duplicates: "\(counts.duplicates)",
            rejected: "\(counts.rejected)",
            bytes: "\(counts.bytes)",
            first: first,
            last: last,
            cuts: "\(counts.cuts)",
            isFirst: isFirst,
            // Made by TraceParent: hexadecimal digits and dashes.
            trace: counts.trace.map { "'\($0)'" } ?? "NULL",
            accounts: counts.accounts.columns
        )
    }
}
