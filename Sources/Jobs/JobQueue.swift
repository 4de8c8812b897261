package import Postgres
import Reactor

/// The queue in the database: claims, failures, promotions; results are the ``Applier``'s.
///
/// What fences is the token, a number per claim that is never used again: every change of a leased job says
/// which lease it means, and one that is over matches nothing. So each of these may be sent again when its
/// outcome is unknown.
package struct JobQueue: Sendable {
    package let connection: PostgresConnection
    private let limits: JobsLimits

    /// The queue as seen through `connection`.
    package init(connection: PostgresConnection, limits: JobsLimits = JobsLimits()) {
        self.connection = connection
        self.limits = limits
    }

    private func run(_ sql: String, _ parameters: [String?]) async throws(PostgresError) -> PostgresResult {
        let deadline = Deadline.after(limits.statement)
        do throws(PostgresError) {
            return try await connection.query(sql, parameters, deadline: deadline)
        } catch .unavailable {
            // Nothing was sent.
            try await connection.ensureConnected(deadline: deadline)
            return try await connection.query(sql, parameters, deadline: deadline)
        }
    }

    // MARK: Claims

    /// Leases up to `count` jobs to `epoch`; none when that epoch is gone or draining.
    ///
    /// Jobs whose origin lives are left to it for a second: it has their events in memory.
    ///
    /// With `ignoresPriority` the oldest come first, so that low priorities are not starved.
    package func claim(
        _ count: Int,
        queue: String = "rollup",
        epoch: String,
        ignoresPriority: Bool = false
    ) async throws(PostgresError) -> [LeasedJob] {
        let order = ignoresPriority ? "j.run_at, j.id" : "j.priority, j.run_at, j.id"
        // The claimer's row is locked for the time of the claim: whoever buries this epoch finds the leases.
        let sql = """
            WITH me AS MATERIALIZED (
                SELECT epoch FROM nodes WHERE epoch = $3::uuid AND NOT draining FOR KEY SHARE),
            c AS MATERIALIZED (
                SELECT j.id FROM jobs j
                    WHERE j.queue = $1 AND j.state = 1 AND j.run_at <= now() AND EXISTS (SELECT FROM me)
                        AND (j.origin = $3::uuid OR j.created_at <= now() - $4::interval
                            OR NOT EXISTS (SELECT FROM nodes n WHERE n.epoch = j.origin))
                    ORDER BY \(order) LIMIT $2 FOR UPDATE OF j SKIP LOCKED)
            UPDATE jobs j SET state = 2, token = nextval('lease_tokens'), epoch = $3::uuid, leased_at = now(),
                    deadline_at = now() + j.timeout + $5::interval, attempt = j.attempt + 1
                FROM c WHERE j.id = c.id
                RETURNING j.id, j.token, j.kind, j.stream, j.lo, j.hi,
                    (extract(epoch FROM j.ts_min) * 1000000)::bigint,
                    (extract(epoch FROM j.ts_max) * 1000000)::bigint, j.attempt, j.crashes,
                    (extract(epoch FROM j.timeout) * 1000)::bigint,
                    (extract(epoch FROM greatest(now() - j.created_at, interval '0')) * 1000)::bigint,
                    j.traceparent
            """
        let result = try await run(
            sql,
            [
                queue, String(count), epoch, limits.dispatch.originGrace.postgresInterval,
                limits.dispatch.leaseSlack.postgresInterval,
            ]
        )
        return try result.rows.map { row throws(PostgresError) in try Self.job(row) }
            .sorted { $0.id < $1.id }
    }

    private static func job(_ row: [String?]) throws(PostgresError) -> LeasedJob {
        func number(_ column: Int) throws(PostgresError) -> Int64 {
            guard let value = row[column].flatMap({ Int64($0) }) else {
                throw .misuse("column \(column) of a claimed job is no number")
            }
            return value
        }
        return LeasedJob(
            id: LeaseID(job: try number(0), token: try number(1)),
            kind: row[2] ?? "",
            stream: try number(3),
            lo: try number(4),
            hi: try number(5),
            timeMin: try number(6),
            timeMax: try number(7),
            attempt: Int(try number(8)),
            crashes: Int(try number(9)),
            timeout: .milliseconds(try number(10)),
            age: .milliseconds(try number(11)),
            trace: row[12]
        )
    }

    /// Makes scheduled jobs ready whose pause is over; returns how many.
    package func promote() async throws(PostgresError) -> Int {
        let sql = """
            WITH due AS MATERIALIZED (
                SELECT id FROM jobs WHERE state = 0 AND run_at <= now() ORDER BY run_at LIMIT $1
                    FOR UPDATE SKIP LOCKED)
            UPDATE jobs j SET state = 1 FROM due WHERE j.id = due.id
            """
        return try await run(sql, [String(limits.dispatch.promotePerRoundMax)]).affected
    }

    // MARK: Leases

    /// The leases of a queue's jobs that the database says this epoch holds.
    package func leases(
        of epoch: String,
        queue: String = "rollup"
    ) async throws(PostgresError) -> [LeaseID] {
        let sql = "SELECT id, token FROM jobs WHERE state = 2 AND epoch = $1::uuid AND queue = $2 ORDER BY id"
        return try await run(sql, [epoch, queue]).rows.compactMap { Self.lease($0[0], $0[1]) }
    }

    /// Leases whose holder is gone (`lost`) or has lost track (`timeout`).
    package func lostLeases() async throws(PostgresError) -> [FailedLease] {
        let sql = """
            SELECT j.id, j.token, n.epoch IS NULL FROM jobs j LEFT JOIN nodes n USING (epoch)
                WHERE j.state = 2 AND (n.epoch IS NULL OR j.deadline_at < now()) ORDER BY j.id LIMIT $1
            """
        return try await run(sql, [String(limits.lease.lostPerSweepMax)]).rows.compactMap { row in
            guard let id = Self.lease(row[0], row[1]) else { return nil }
            return row[2] == "t"
                ? FailedLease(id: id, cause: .lost, message: "its node is gone")
                : FailedLease(id: id, cause: .timeout, message: "its node did not report in time")
        }
    }

    /// Whether a result was applied under this lease.
    package func wasApplied(_ id: LeaseID) async throws(PostgresError) -> Bool {
        let sql = "SELECT FROM job_outcomes WHERE id = $1 AND token = $2 AND status = 'ok' LIMIT 1"
        return try await !run(sql, [String(id.job), String(id.token)]).rows.isEmpty
    }

    static func lease(_ job: String?, _ token: String?) -> LeaseID? {
        guard let job = job.flatMap({ Int64($0) }), let token = token.flatMap({ Int64($0) }) else {
            return nil
        }
        return LeaseID(job: job, token: token)
    }

    // MARK: Failures

    /// Ends leases without a result; those that are over already are missing from the answer.
    ///
    /// Budgets, pauses and halves are decided in the same statement that checks the tokens.
    package func fail(
        _ failures: [FailedLease]
    ) async throws(PostgresError) -> [LeaseID: FailureVerdict] {
        if failures.isEmpty { return [:] }
        let jitter = failures.map { _ in String(Double.random(in: 0.5...1.5)) }
        let result = try await run(
            Self.failSQL,
            [
                PostgresArray.text(failures.map { String($0.id.job) }),
                PostgresArray.text(failures.map { String($0.id.token) }),
                PostgresArray.text(failures.map(\.cause.rawValue)),
                PostgresArray.text(
                    failures.map { Self.kept($0.message, bytesMax: limits.dispatch.messageBytesMax) }
                ),
                PostgresArray.text(jitter),
            ]
        )
        var verdicts: [LeaseID: FailureVerdict] = [:]
        for row in result.rows {
            guard let id = Self.lease(row[0], row[1]) else { continue }
            verdicts[id] = row[2].flatMap { FailureVerdict(rawValue: $0) }
        }
        return verdicts
    }

    /// The beginning and the end of a text, which PostgreSQL takes: without U+0000.
    static func kept(_ message: String, bytesMax: Int) -> String {
        let bytes = message.utf8.map { $0 == 0 ? UInt8(ascii: " ") : $0 }
        if bytes.count <= bytesMax { return String(decoding: bytes, as: UTF8.self) }
        let half = bytesMax / 2
        return String(decoding: bytes.prefix(half), as: UTF8.self) + " … "
            + String(decoding: bytes.suffix(half), as: UTF8.self)
    }

    // Children of a split die of their first crash: their parent has had its second chance. Neither `drained`
    // nor `lost` is the job's fault, so the attempt is given back. Jitter comes as a parameter: a cluster
    // wants no random() in an UPDATE.
    private static let failSQL = """
        WITH i AS MATERIALIZED (
            SELECT i.id, i.token, i.cause, i.jitter,
                    jsonb_build_object('cause', i.cause, 'message', i.message, 'at', now()) AS err
                FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::float8[])
                    AS i(id, token, cause, message, jitter)),
        t AS MATERIALIZED (
            SELECT j.*, i.cause, i.err, i.jitter FROM jobs j JOIN i ON j.id = i.id AND j.token = i.token
                WHERE j.state = 2 ORDER BY j.id FOR UPDATE OF j),
        d AS MATERIALIZED (
            SELECT t.*, CASE
                WHEN cancel_requested OR cause = 'cancelled' THEN 'cancelled'
                WHEN cause = 'drained' THEN 'ready'
                WHEN cause IN ('crash', 'timeout') AND crashes + 1 < max_crashes THEN 'retry'
                WHEN cause IN ('crash', 'timeout', 'permanent') AND hi - lo > 1 THEN 'split'
                WHEN cause IN ('crash', 'timeout', 'permanent') THEN 'dead'
                WHEN cause = 'error' AND attempt >= max_attempts THEN 'dead'
                WHEN cause = 'lost' AND losses + 1 >= max_losses AND hi - lo > 1 THEN 'split'
                WHEN cause = 'lost' AND losses + 1 >= max_losses THEN 'dead'
                ELSE 'retry' END AS verdict FROM t),
        gone AS (
            DELETE FROM jobs j USING d WHERE j.id = d.id AND d.verdict IN ('split', 'dead', 'cancelled')
                RETURNING j.id),
        kids AS (
            INSERT INTO jobs (queue, kind, priority, timeout, max_attempts, max_crashes, max_losses, root_id,
                    depth, stream, lo, hi, ts_min, ts_max, errors, traceparent)
                SELECT queue, kind, priority, timeout, max_attempts, 1, max_losses, coalesce(root_id, id),
                        depth + 1, stream, r.lo, r.hi, ts_min, ts_max, jsonb_build_array(err), traceparent
                    FROM d, LATERAL (VALUES (d.lo, d.lo + (d.hi - d.lo) / 2),
                        (d.lo + (d.hi - d.lo) / 2, d.hi))
                        AS r(lo, hi) WHERE verdict = 'split'),
        buried AS (
            INSERT INTO dead_jobs (id, queue, kind, stream, lo, hi, ts_min, ts_max, root_id, reason, errors,
                    attempt, crashes, losses, traceparent)
                SELECT id, queue, kind, stream, lo, hi, ts_min, ts_max, root_id, cause, errors || err,
                        attempt,
                        crashes + (cause IN ('crash', 'timeout'))::int, losses + (cause = 'lost')::int,
                        traceparent
                    FROM d WHERE verdict = 'dead'),
        outcomes AS (
            INSERT INTO job_outcomes (id, token, status, queue)
                SELECT id, token, verdict, queue FROM d WHERE verdict IN ('split', 'dead', 'cancelled')),
        back AS (
            UPDATE jobs j SET
                    state = CASE WHEN d.verdict = 'ready' THEN 1 ELSE 0 END,
                    token = NULL, epoch = NULL, leased_at = NULL, deadline_at = NULL,
                    run_at = CASE WHEN d.verdict = 'ready' THEN j.run_at ELSE now() + least(interval '1 h',
                        interval '0.05 s' * power(2, least(d.attempt, 16))) * d.jitter END,
                    attempt = j.attempt - (d.cause IN ('drained', 'lost'))::int,
                    crashes = j.crashes + (d.cause IN ('crash', 'timeout'))::int,
                    losses = j.losses + (d.cause = 'lost')::int,
                    errors = CASE WHEN d.cause = 'drained' THEN j.errors
                        WHEN jsonb_array_length(j.errors) >= 10 THEN (j.errors - 0) || d.err
                        ELSE j.errors || d.err END
                FROM d WHERE j.id = d.id AND d.verdict IN ('ready', 'retry'))
        SELECT id, token, verdict FROM d
        """
}
