import Logging
import Postgres
import Reactor

/// The transaction that makes results count: it deletes the jobs whose leases still hold, and adds what
/// exactly those have brought to the rollups.
///
/// Everybody locks in the same order — jobs by id, new rollups by key, rollups by key, their hours, days,
/// types — so that appliers wait for each other and do not deadlock. All keys are inserted before the first
/// is locked, in chunks or not: a row that is inserted ahead of a lock would stand in another's way.
struct ApplyTransaction: Sendable {
    /// What became of a batch's leases; those in neither were over: stale.
    struct Outcome: Equatable, Sendable {
        /// Applied by this transaction.
        var acked: Set<LeaseID> = []
        /// Applied by an earlier one, whose outcome had been unknown.
        var appliedBefore: Set<LeaseID> = []
    }

    let connection: PostgresConnection
    let limits: JobsLimits
    let logger: Logger

    /// The settings and scratch tables of the applier's connection.
    ///
    /// The planner knows nothing of the scratch tables' sizes; by an index on the large one is always right.
    static func configuration(_ base: PostgresConfiguration, limits: JobsLimits) -> PostgresConfiguration {
        var configuration = base
        configuration.sessionSetup += """
            ;SET lock_timeout = \(limits.apply.lock.milliseconds); SET jit = off;
            SET enable_hashjoin = off; SET enable_mergejoin = off;
            CREATE TEMPORARY TABLE IF NOT EXISTS rollup_keys (
                ord int, minute timestamptz, type text, source text) ON COMMIT DELETE ROWS;
            CREATE TEMPORARY TABLE IF NOT EXISTS rollup_merged (
                ord int, minute timestamptz, type text, source text, events bigint,
                subjects bytea, fields bytea) ON COMMIT DELETE ROWS;
            CREATE TEMPORARY TABLE IF NOT EXISTS type_counts (ord int, type text, events bigint,
                first_at timestamptz, last_at timestamptz) ON COMMIT DELETE ROWS
            """
        return configuration
    }

    /// Applies `results`, each of another lease; all of them or, on an error that says so, none.
    ///
    /// `isRepeated` says that an attempt before this one may have been committed after all.
    func run(_ results: [JobResult], isRepeated: Bool) async throws(PostgresError) -> Outcome {
        do throws(PostgresError) {
            return try await attempt(results, isRepeated)
        } catch {
            if !error.isOutcomeUnknown {
                // Where even this fails the session has ended, and its transaction with it.
                _ = try? await connection.simple("ROLLBACK", deadline: .after(limits.statement))
            }
            throw error
        }
    }

    private func send(
        _ sql: String,
        copies: [CopyStream] = []
    ) async throws(PostgresError) -> [PostgresResult] {
        try await connection.simple(sql, copies: copies, deadline: .after(limits.statement))
    }

    private func attempt(_ results: [JobResult], _ isRepeated: Bool) async throws(PostgresError) -> Outcome {
        let ids = results.map(\.id).sorted()
        let answer = try await send("BEGIN;" + Self.ackSQL(ids))
        var outcome = Outcome()
        outcome.acked = Set(answer.last?.rows.compactMap { JobQueue.lease($0[0], $0[1]) } ?? [])
        let others = ids.filter { !outcome.acked.contains($0) }
        if isRepeated, !others.isEmpty {
            // After the locks: a transaction of ours that was thought lost has ended by now, one way or the
            // other.
            let rows = try await send(Self.appliedSQL(others)).last?.rows ?? []
            outcome.appliedBefore = Set(rows.compactMap { JobQueue.lease($0[0], $0[1]) })
        }
        // The heart of exactly once: what counts is what was acked, never what was handed in.
        try await add(RollupMerge(results.filter { outcome.acked.contains($0.id) }))
        return outcome
    }

    // MARK: Jobs

    private static func ackSQL(_ ids: [LeaseID]) -> String {
        """
        WITH i AS MATERIALIZED (SELECT * FROM \(rows(ids)) AS i(id, token)),
        lk AS MATERIALIZED (
            SELECT j.id FROM jobs j JOIN i USING (id) WHERE j.state = 2 AND j.token = i.token
                ORDER BY j.id FOR UPDATE OF j),
        acked AS (
            DELETE FROM jobs j USING i, lk
                WHERE j.id = lk.id AND j.id = i.id AND j.state = 2 AND j.token = i.token
                RETURNING j.id, i.token, j.queue),
        outcomes AS (
            INSERT INTO job_outcomes (id, token, status, queue) SELECT id, token, 'ok', queue FROM acked)
        SELECT id, token FROM acked
        """
    }

    private static func appliedSQL(_ ids: [LeaseID]) -> String {
        """
        SELECT o.id, o.token FROM \(rows(ids)) AS i(id, token)
            JOIN job_outcomes o ON o.id = i.id AND o.token = i.token AND o.status = 'ok'
        """
    }

    /// Numbers need no quotes.
    private static func rows(_ ids: [LeaseID]) -> String {
        let jobs = ids.map { String($0.job) }.joined(separator: ",")
        let tokens = ids.map { String($0.token) }.joined(separator: ",")
        return "unnest('{\(jobs)}'::bigint[], '{\(tokens)}'::bigint[])"
    }

    // MARK: Rollups

    private func add(_ merge: RollupMerge) async throws(PostgresError) {
        if merge.keys.isEmpty {
            _ = try await send("COMMIT")
            return
        }
        var chunk = 0..<min(limits.apply.rollupsPerChunkMax, merge.keys.count)
        var locked = try await send(Self.insertSQL + Self.lockSQL(chunk), copies: [merge.keyRows()])
        while true {
            let stored = try stored(locked.last, chunk)
            let merged = merge.mergedRows(chunk, stored: stored)
            let next =
                chunk.upperBound..<min(chunk.upperBound + limits.apply.rollupsPerChunkMax, merge.keys.count)
            if next.isEmpty {
                let sql = Self.updateSQL(chunk) + RollupLevel.marksSQL + Self.typesSQL + "COMMIT"
                _ = try await send(sql, copies: [merged, merge.typeRows()])
                return
            }
            locked = try await send(Self.updateSQL(chunk) + Self.lockSQL(next), copies: [merged])
            chunk = next
        }
    }

    private func stored(
        _ result: PostgresResult?,
        _ chunk: Range<Int>
    ) throws(PostgresError) -> [Int: StoredSketches] {
        var stored: [Int: StoredSketches] = [:]
        for row in result?.rows ?? [] {
            guard let position = row[0].flatMap({ Int($0) }) else { continue }
            let sketches = StoredSketches(subjects: row[1], fields: row[2])
            if sketches.isDamaged { logger.error("a stored sketch cannot be read and starts anew") }
            stored[position] = sketches
        }
        if stored.count != chunk.count {
            // Somebody has deleted a rollup between its insertion here and its lock.
            throw .server(ServerError(sqlState: "40001", message: "a rollup vanished"))
        }
        return stored
    }

    private static let insertSQL = """
        COPY rollup_keys FROM STDIN (FORMAT binary);
        INSERT INTO rollups_minute (minute, type, source)
            SELECT minute, type, source FROM rollup_keys ORDER BY ord ON CONFLICT DO NOTHING;
        """

    private static func lockSQL(_ chunk: Range<Int>) -> String {
        """
        SELECT k.ord, r.subjects, r.fields
            FROM rollup_keys k JOIN rollups_minute r USING (minute, type, source)
            WHERE k.ord >= \(chunk.lowerBound) AND k.ord < \(chunk.upperBound) ORDER BY k.ord FOR UPDATE OF r
        """
    }

    private static func updateSQL(_ chunk: Range<Int>) -> String {
        """
        COPY rollup_merged FROM STDIN (FORMAT binary);
        UPDATE rollups_minute r SET events = r.events + m.events, subjects = m.subjects, fields = m.fields
            FROM rollup_merged m WHERE m.ord >= \(chunk.lowerBound) AND m.ord < \(chunk.upperBound)
                AND r.minute = m.minute AND r.type = m.type AND r.source = m.source;
        """
    }

    private static let typesSQL = """
        COPY type_counts FROM STDIN (FORMAT binary);
        INSERT INTO rollups_type AS t (type, events, first_at, last_at)
            SELECT type, events, first_at, last_at FROM type_counts ORDER BY ord
            ON CONFLICT (type) DO UPDATE SET events = t.events + excluded.events,
                first_at = least(t.first_at, excluded.first_at),
                last_at = greatest(t.last_at, excluded.last_at);
        """
}
