import Events
import Postgres
import Reactor

/// The analyses in PostgreSQL: what was asked, how far it is, and what came of it.
///
/// An analysis is a job of the queue ``queue``, claimed and failed by ``JobQueue`` like any other; its
/// parameters, attempts and progress are here, its result in the job's outcome.
struct AnalysisStore: Sendable {
    static let queue = "analysis"
    /// Analyses in the queue; more are refused.
    static let queuedMax = 1_000
    /// Of one page.
    static let pageMax = 100
    private static let timeout = Duration.seconds(20)

    let connection: PostgresConnection

    enum Added: Equatable, Sendable {
        case new(Int64)
        /// One of the same unique key is in the queue.
        case present(Int64)
        case full
    }

    private func run(_ sql: String, _ parameters: [String?]) async throws(PostgresError) -> PostgresResult {
        let deadline = Deadline.after(Self.timeout)
        try await connection.ensureConnected(deadline: deadline)
        return try await connection.query(sql, parameters, deadline: deadline)
    }

    // MARK: Asking

    func add(_ order: AnalysisOrder, by actor: String, trace: String?) async throws(PostgresError) -> Added {
        let sql = """
            WITH job AS (
                INSERT INTO jobs (queue, kind, priority, run_at, timeout, max_attempts, unique_key,
                        stream, lo, hi, ts_min, ts_max, traceparent)
                    SELECT '\(Self.queue)', $1, $2::smallint, coalesce($3::timestamptz, now()),
                            make_interval(secs => $4::float8), $5::smallint,
                            convert_to('\(Self.queue) ' || $6::text, 'UTF8'), 0, 0, 1,
                            $7::timestamptz, $8::timestamptz, $9
                        WHERE (SELECT count(*) FROM jobs WHERE queue = '\(Self.queue)') < \(Self.queuedMax)
                    ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING
                    RETURNING *)
            INSERT INTO analyses (id, kind, params, priority, timeout, max_attempts, unique_key, actor,
                    traceparent, run_at)
                SELECT id, kind, $10::jsonb, priority, timeout, max_attempts, $6, $11, traceparent, run_at
                    FROM job
                RETURNING id
            """
        let parameters = String(decoding: JSONValue.object(order.parameters).bytes, as: UTF8.self)
        let values: [String?] = [
            order.kind, String(order.priority), order.runAt.map { Timestamp.text($0) },
            String(order.timeoutSeconds), String(order.attemptsMax), order.uniqueKey,
            Timestamp.text(order.range.lowerBound), Timestamp.text(order.range.upperBound), trace, parameters,
            actor,
        ]
        while true {
            if let id = try await run(sql, values).value.flatMap({ Int64($0) }) { return .new(id) }
            guard let key = order.uniqueKey else { return .full }
            let found = """
                SELECT id FROM jobs WHERE unique_key = convert_to('\(Self.queue) ' || $1::text, 'UTF8')
                """
            if let id = try await run(found, [key]).value.flatMap({ Int64($0) }) { return .present(id) }
            // It has ended in between, or there is no room.
            let count = "SELECT count(*) FROM jobs WHERE queue = '\(Self.queue)'"
            if let jobs = try await run(count, []).value.flatMap({ Int($0) }), jobs >= Self.queuedMax {
                return .full
            }
        }
    }

    /// Takes an analysis that waits out of the queue, and asks for the end of one that runs; `nil` for one
    /// that is over or never was.
    func cancel(_ id: Int64) async throws(PostgresError) -> Bool? {
        let waiting = """
            WITH gone AS (
                DELETE FROM jobs WHERE id = $1::bigint AND queue = '\(Self.queue)' AND state <> 2
                    RETURNING id, queue)
            INSERT INTO job_outcomes (id, token, status, queue) SELECT id, 0, 'cancelled', queue FROM gone
            """
        if try await run(waiting, [String(id)]).affected > 0 { return false }
        let running = """
            UPDATE jobs SET cancel_requested = true
                WHERE id = $1::bigint AND queue = '\(Self.queue)' AND state = 2
            """
        return try await run(running, [String(id)]).affected > 0 ? true : nil
    }

    /// Puts an analysis that has failed or was cancelled into the queue again; `false` for any other.
    func retry(_ id: Int64) async throws(PostgresError) -> Bool {
        let sql = """
            WITH last AS (
                SELECT status FROM job_outcomes WHERE id = $1::bigint ORDER BY finished_at DESC LIMIT 1),
            dead AS (DELETE FROM dead_jobs WHERE id = $1::bigint AND queue = '\(Self.queue)')
            INSERT INTO jobs (id, queue, kind, priority, timeout, max_attempts, stream, lo, hi, ts_min,
                    ts_max, traceparent)
                OVERRIDING SYSTEM VALUE
                SELECT id, '\(Self.queue)', kind, priority, timeout, max_attempts, 0, 0, 1,
                        (params ->> 'from')::timestamptz, (params ->> 'to')::timestamptz, traceparent
                    FROM analyses a, last
                    WHERE a.id = $1::bigint AND last.status IN ('dead', 'cancelled')
                ON CONFLICT (id) DO NOTHING
            """
        return try await run(sql, [String(id)]).affected > 0
    }

    // MARK: Looking

    /// The analyses that a condition of `a` and the parameters choose, newest first, as JSON objects.
    private func select(
        _ condition: String,
        _ parameters: [String?],
        withResult: Bool
    ) async throws(PostgresError) -> [[String: JSONValue]] {
        let sql = """
            SELECT jsonb_build_object('id', a.id, 'kind', a.kind, 'params', a.params, 'priority', a.priority,
                    'timeout_s', extract(epoch FROM a.timeout)::bigint, 'max_attempts', a.max_attempts,
                    'unique_key', a.unique_key, 'created_at', a.created_at, 'run_at', a.run_at,
                    'attempts', a.attempts, 'state', a.state,
                    'progress',
                    CASE a.state WHEN 'succeeded' THEN 1 WHEN 'running' THEN a.progress ELSE 0 END,
                    'finished_at', a.finished_at),
                    \(withResult ? "a.result" : "NULL")
                FROM (SELECT a.*, o.finished_at, o.result, CASE
                            WHEN j.state = 2 THEN 'running'
                            WHEN j.id IS NOT NULL AND jsonb_array_length(j.errors) > 0 THEN 'retrying'
                            WHEN j.run_at > now() THEN 'scheduled'
                            WHEN j.id IS NOT NULL THEN 'queued'
                            WHEN o.status = 'ok' THEN 'succeeded'
                            WHEN o.status = 'cancelled' THEN 'cancelled'
                            ELSE 'failed' END AS state
                        FROM analyses a LEFT JOIN jobs j ON j.id = a.id
                        LEFT JOIN LATERAL (SELECT * FROM job_outcomes o WHERE o.id = a.id AND j.id IS NULL
                            ORDER BY finished_at DESC LIMIT 1) o ON true) a
                WHERE \(condition)
            """
        return try await run(sql, parameters).rows.map { row throws(PostgresError) in
            var members: [String: JSONValue]
            do throws(JSONReadError) {
                members = try JSONReader.object(Array((row[0] ?? "").utf8))
                if let result = row[1] {
                    members["result"] = .object(try JSONReader.object(Array(result.utf8)))
                }
            } catch {
                throw PostgresError.misuse("an analysis cannot be read: \(error.detail)")
            }
            return members
        }
    }

    func find(_ id: Int64) async throws(PostgresError) -> [String: JSONValue]? {
        try await select("a.id = $1::bigint", [String(id)], withResult: true).first
    }

    /// A page of those before an id, newest first, without their results.
    func list(
        state: String?,
        kind: String?,
        before: Int64
    ) async throws(PostgresError) -> [[String: JSONValue]] {
        try await select(
            """
            a.id < $1::bigint AND ($2::text IS NULL OR a.state = $2) AND ($3::text IS NULL OR a.kind = $3)
            ORDER BY a.id DESC LIMIT \(Self.pageMax)
            """,
            [String(before), state, kind],
            withResult: false
        )
    }

    // MARK: Running

    /// Notes that an attempt begins; returns the parameters.
    func begin(_ id: LeaseID, node: String) async throws(PostgresError) -> [String: JSONValue]? {
        let sql = """
            UPDATE analyses SET progress = 0, attempts = CASE WHEN jsonb_array_length(attempts) < 20
                    THEN attempts ELSE attempts - 0 END
                    || jsonb_build_object('token', $2::bigint, 'node', $3::text, 'started_at', now())
                WHERE id = $1::bigint RETURNING params
            """
        let row = try await run(sql, [String(id.job), String(id.token), node]).value
        return row.flatMap { try? JSONReader.object(Array($0.utf8)) }
    }

    /// Notes how an attempt has ended.
    func end(_ id: LeaseID, error: String?) async throws(PostgresError) {
        let sql = """
            UPDATE analyses SET attempts = (
                    SELECT coalesce(jsonb_agg(CASE WHEN (e ->> 'token')::bigint = $2::bigint
                            THEN e || jsonb_build_object('ended_at', now(), 'error', $3::text)
                            ELSE e END), '[]')
                        FROM jsonb_array_elements(attempts) AS e)
                WHERE id = $1::bigint
            """
        let kept = error.map { JobQueue.kept($0, bytesMax: 2_048) }
        _ = try await run(sql, [String(id.job), String(id.token), kept])
    }

    /// Stores the result if the lease still holds, once; `false` when it is over.
    func succeed(_ id: LeaseID, result: [UInt8], isRepeated: Bool) async throws(PostgresError) -> Bool {
        let sql = """
            WITH acked AS (
                DELETE FROM jobs WHERE id = $1::bigint AND token = $2::bigint AND state = 2
                    RETURNING id, token, queue)
            INSERT INTO job_outcomes (id, token, status, queue, result)
                SELECT id, token, 'ok', queue, $3::jsonb FROM acked
            """
        let text = String(decoding: result, as: UTF8.self)
        if try await run(sql, [String(id.job), String(id.token), text]).affected > 0 { return true }
        if !isRepeated { return false }
        let before =
            "SELECT count(*) FROM job_outcomes WHERE id = $1::bigint AND token = $2::bigint AND status = 'ok'"
        return try await run(before, [String(id.job), String(id.token)]).value == "1"
    }

    /// Notes how far an attempt is; returns whether it is asked to end.
    func progress(_ id: LeaseID, _ share: Double) async throws(PostgresError) -> Bool {
        let sql = """
            UPDATE analyses a SET progress = $3::real FROM jobs j
                WHERE a.id = $1::bigint AND j.id = a.id AND j.token = $2::bigint AND j.state = 2
                RETURNING j.cancel_requested
            """
        return try await run(sql, [String(id.job), String(id.token), String(share)]).value == "t"
    }

    /// Forgets analyses whose outcomes are no longer kept.
    static let trimSQL = """
        DELETE FROM analyses a WHERE created_at < now() - make_interval(days => $1::int)
            AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = a.id)
            AND NOT EXISTS (SELECT FROM job_outcomes o WHERE o.id = a.id)
        """
}
