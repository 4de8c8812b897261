package import Logging
package import Postgres
package import Reactor

/// Drops what is old: outcomes by the day, the older generation of the keys that tell duplicates, and the end
/// of the audit trail.
///
/// Any number of nodes may do so at once. Every lock that would hold up writers is waited for only briefly,
/// and asked for again the next time.
package struct Housekeeper: Sendable {
    private let configuration: PostgresConfiguration
    private let limits: JobsLimits
    private let loop: EventLoop
    private let logger: Logger

    /// Keeps the database of `configuration`, on a connection that lasts for one round.
    package init(
        _ configuration: PostgresConfiguration,
        limits: JobsLimits = JobsLimits(),
        loop: EventLoop,
        logger: Logger
    ) {
        self.configuration = configuration
        self.limits = limits
        self.loop = loop
        self.logger = logger
    }

    /// Does all that is due, and logs what could not be done.
    package func runRound() async {
        let connection = PostgresConnection(
            configuration,
            name: "housekeeper",
            loop: loop,
            logger: logger
        )
        let deadline = Deadline.after(limits.statement)
        do throws(PostgresError) {
            try await connection.ensureConnected(deadline: deadline)
            let dropped = try await dropOutcomes(on: connection, deadline: deadline)
            if !dropped.isEmpty { logger.info("dropped outcomes", metadata: ["partitions": "\(dropped)"]) }
            let days = "\(limits.housekeeping.outcomeDays)"
            _ = try await connection.query(AnalysisStore.trimSQL, [days], deadline: deadline)
            if try await rotateKeys(on: connection, deadline: deadline) {
                logger.info("rotated the generations of event keys")
            }
            let trimmed = try await trimAudit(on: connection, deadline: deadline)
            if trimmed > 0 { logger.notice("trimmed the audit trail", metadata: ["lines": "\(trimmed)"]) }
        } catch {
            logger.debug("housekeeping put off", metadata: ["error": "\(error)"])
        }
        await connection.close()
    }

    /// Drops the day partitions of `job_outcomes` whose days are over for long enough; returns their names.
    package func dropOutcomes(
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(PostgresError) -> [String] {
        try await PartitionKeeper.jobOutcomes.dropExpired(
            days: limits.housekeeping.outcomeDays,
            lockTimeout: limits.housekeeping.lock,
            on: connection,
            deadline: deadline
        )
    }

    /// Empties the older generation of `event_keys` and has the two change places, once the newer one is as
    /// old as the window in which duplicates are told; returns whether it was time.
    package func rotateKeys(
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(PostgresError) -> Bool {
        let window = limits.housekeeping.dedupWindow.postgresInterval
        let due = "rotated_at <= now() - interval '\(window)'"
        let look = try await connection.simple("SELECT \(due) FROM event_keys_rotation", deadline: deadline)
        guard look.last?.value == "t" else { return false }
        let results = try await connection.simple(
            """
            SET LOCAL lock_timeout = \(lockMilliseconds);
            DO $rotation$
            BEGIN
                PERFORM FROM event_keys_rotation WHERE \(due) FOR UPDATE;
                IF NOT FOUND THEN RETURN; END IF;
                LOCK TABLE event_keys, event_keys_previous IN ACCESS EXCLUSIVE MODE;
                TRUNCATE event_keys_previous;
                ALTER TABLE event_keys_previous RENAME TO event_keys_spare;
                ALTER TABLE event_keys RENAME TO event_keys_previous;
                ALTER TABLE event_keys_spare RENAME TO event_keys;
                UPDATE event_keys_rotation SET rotated_at = now();
            END
            $rotation$;
            SELECT rotated_at = now() FROM event_keys_rotation
            """,
            deadline: deadline
        )
        return results.last?.value == "t"
    }

    /// Deletes what of the audit trail is older than its age, and the oldest of what is beyond its length;
    /// returns how many lines.
    ///
    /// The trail says so itself, in one line of the action `audit.trim` with the sum of all that has ever
    /// gone and the time of the newest of it: whoever reads it knows where it begins to be whole.
    package func trimAudit(
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(PostgresError) -> Int {
        let result = try await connection.query(
            """
            WITH old AS (
              SELECT n FROM audit WHERE action <> 'audit.trim'
                AND (at < now() - make_interval(days => $1)
                     OR n <= (SELECT n FROM audit WHERE action <> 'audit.trim'
                                ORDER BY n DESC OFFSET $2 LIMIT 1))
                ORDER BY n LIMIT $3),
            gone AS (DELETE FROM audit WHERE n IN (SELECT n FROM old) RETURNING at),
            earlier AS (
              DELETE FROM audit WHERE action = 'audit.trim' AND EXISTS (SELECT FROM gone) RETURNING detail),
            noted AS (
              INSERT INTO audit (actor, action, target, detail)
                SELECT 'housekeeper', 'audit.trim', 'audit', jsonb_build_object(
                    'lines', count(*) + (SELECT coalesce(sum((detail->>'lines')::bigint), 0) FROM earlier),
                    'until', max(at)) FROM gone HAVING count(*) > 0)
            SELECT count(*) FROM gone
            """,
            [
                "\(limits.housekeeping.auditDays)", "\(limits.housekeeping.auditLinesMax)",
                "\(limits.housekeeping.auditLinesPerRoundMax)",
            ],
            deadline: deadline
        )
        return result.rows.first?.first?.flatMap { Int($0) } ?? 0
    }

    private var lockMilliseconds: Int64 { limits.housekeeping.lock.milliseconds }
}
