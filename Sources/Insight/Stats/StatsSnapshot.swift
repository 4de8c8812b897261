import Postgres
import Reactor

/// What the database says about the whole installation at one moment.
package struct StatsSnapshot: Equatable, Sendable {
    /// Sums over all nodes since the first start.
    package struct Totals: Equatable, Sendable {
        package var received: Int64 = 0
        package var stored: Int64 = 0
        package var duplicates: Int64 = 0
        package var rejected: Int64 = 0
        package var bytes: Int64 = 0
    }

    /// One event type's count, in events that analytics has seen.
    package struct TypeCount: Equatable, Sendable {
        package let type: String
        package let count: Int64
        /// Microseconds since 1970.
        package let lastAt: Int64
    }

    /// The analytics queue.
    package struct Queue: Equatable, Sendable {
        package var scheduled: Int64 = 0
        package var ready: Int64 = 0
        package var leased: Int64 = 0
        package var paused: Int64 = 0
        package var dead: Int64 = 0
        /// Age of the oldest job that is not done; 0 when all are.
        package var lagSeconds = 0.0
    }

    package var totals = Totals()
    /// The most frequent types, those first.
    package var types: [TypeCount] = []
    /// How many types there are in all.
    package var typesCount: Int64 = 0
    /// Events that analytics has seen, all types together.
    package var rolledUp: Int64 = 0
    package var queue = Queue()
    /// Such as 150018.
    package var serverVersion = 0

    /// Events that are stored and not yet in the rollups: those not cut, those of jobs, and those of dead
    /// jobs.
    package var lagEvents: Int64 { max(0, totals.stored - rolledUp) }

    init() {}

    /// Reads all of it at one moment of the database, with a statement timeout of its own.
    static func read(
        over reader: PostgresPool,
        limits: InsightLimits
    ) async throws(ReadError) -> StatsSnapshot {
        let deadline = Deadline.after(limits.statsTimeout)
        let sql = sql(limits)
        let results: [PostgresResult]
        do throws(PostgresError) {
            results = try await reader.withConnection(deadline: deadline) {
                connection throws(PostgresError) in
                try await connection.simple(sql, deadline: deadline)
            }
        } catch {
            throw .database(error)
        }
        return try StatsSnapshot(results)
    }

    /// One snapshot for all statements; it is taken by the first SELECT.
    private static func sql(_ limits: InsightLimits) -> String {
        """
        BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
        SET LOCAL statement_timeout = \(Int(limits.statsTimeout.seconds * 1_000));
        SELECT t.received + s.received, t.stored + s.stored, t.duplicates + s.duplicates,
               t.rejected + s.rejected, t.bytes + s.bytes, current_setting('server_version_num')
          FROM totals t, (
            SELECT coalesce(sum(received), 0) AS received, coalesce(sum(stored), 0) AS stored,
                   coalesce(sum(duplicates), 0) AS duplicates, coalesce(sum(rejected), 0) AS rejected,
                   coalesce(sum(bytes), 0) AS bytes FROM streams) s;
        SELECT type, events, (extract(epoch FROM last_at) * 1000000)::bigint
          FROM rollups_type ORDER BY events DESC, type LIMIT \(limits.typesMax);
        SELECT count(*), coalesce(sum(events), 0) FROM rollups_type;
        SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 1),
               count(*) FILTER (WHERE state = 2), count(*) FILTER (WHERE state = 3),
               (SELECT count(*) FROM dead_jobs WHERE replayed_as IS NULL),
               greatest(0, coalesce(
                 extract(epoch FROM now() - min(created_at) FILTER (WHERE queue = 'rollup')), 0))
          FROM jobs;
        COMMIT
        """
    }

    private init(_ results: [PostgresResult]) throws(ReadError) {
        // BEGIN and SET come first.
        guard results.count == 7, let totalsRow = results[2].rows.first, let typesRow = results[4].rows.first,
            let queueRow = results[5].rows.first
        else { throw .corrupt("the statistics did not come as asked for") }

        var row = ReadRow(totalsRow)
        totals.received = try row.integer()
        totals.stored = try row.integer()
        totals.duplicates = try row.integer()
        totals.rejected = try row.integer()
        totals.bytes = try row.integer()
        serverVersion = Int(try row.integer())
        for values in results[3].rows {
            row = ReadRow(values)
            types.append(
                TypeCount(type: try row.string(), count: try row.integer(), lastAt: try row.integer())
            )
        }
        row = ReadRow(typesRow)
        typesCount = try row.integer()
        rolledUp = try row.integer()
        row = ReadRow(queueRow)
        queue.scheduled = try row.integer()
        queue.ready = try row.integer()
        queue.leased = try row.integer()
        queue.paused = try row.integer()
        queue.dead = try row.integer()
        queue.lagSeconds = try row.double()
    }
}
