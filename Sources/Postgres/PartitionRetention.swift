package import Reactor

extension PartitionKeeper {
    /// Drops the partitions whose days have ended at least `days` days ago, the history with the first of
    /// them; returns their names, oldest first.
    ///
    /// Each is detached without a lock that readers or writers would queue behind (`DETACH PARTITION …
    /// CONCURRENTLY`, PostgreSQL 14), and then dropped; a round that is broken off is finished by the next.
    /// One node at a time: where another is at it, nothing is done here.
    ///
    /// - Throws: ``PostgresError``; what had been dropped before stays dropped.
    @discardableResult
    package func dropExpired(
        days: Int,
        lockTimeout: Duration = .seconds(2),
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(PostgresError) -> [String] {
        let lock = "hashtextextended('millrace retention of \(table)', 0)"
        let isOurs = try await connection.query("SELECT pg_try_advisory_lock(\(lock))", deadline: deadline)
        guard isOurs.value == "t" else { return [] }
        do throws(PostgresError) {
            _ = try await connection.simple(
                "SET lock_timeout = \(lockTimeout.milliseconds)",
                deadline: deadline
            )
            let dropped = try await dropAll(expiredFor: days, on: connection, deadline: deadline)
            try await release(lock, on: connection, deadline: deadline)
            return dropped
        } catch {
            try? await release(lock, on: connection, deadline: deadline)
            throw error
        }
    }

    private func release(
        _ lock: String,
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(PostgresError) {
        let sql = "RESET lock_timeout; SELECT pg_advisory_unlock(\(lock))"
        _ = try await connection.simple(sql, deadline: deadline)
    }

    private func dropAll(
        expiredFor days: Int,
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(PostgresError) -> [String] {
        let expired = try await connection.query(expiredSQL, [String(days)], deadline: deadline)
        var dropped: [String] = []
        for row in expired.rows {
            guard let name = row[0] else { continue }
            // The name is this type's own and needs no quotes. Neither statement may stand in a transaction.
            if row[1] == "t" {
                let how = row[2] == "t" ? "FINALIZE" : "CONCURRENTLY"
                let sql = "ALTER TABLE \(table) DETACH PARTITION \(name) \(how)"
                _ = try await connection.simple(sql, deadline: deadline)
            }
            _ = try await connection.simple("DROP TABLE IF EXISTS \(name)", deadline: deadline)
            dropped.append(name)
        }
        return dropped
    }

    /// Name, whether it is attached, and whether detaching it was begun; also those that were detached and
    /// not dropped, which are known by their names.
    private var expiredSQL: String {
        """
        WITH parts AS (
            SELECT c.relname::text AS name, i.inhrelid IS NOT NULL AS attached,
                    coalesce(i.inhdetachpending, false) AS pending,
                    CASE WHEN c.relname = '\(table)_history'
                        THEN (regexp_match(pg_get_expr(c.relpartbound, c.oid),
                            'TO \\(''([^'']+)''\\)'))[1]::timestamptz
                        ELSE (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamptz END AS ended
                FROM pg_class c
                LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = '\(table)'::regclass
                WHERE c.relkind = 'r' AND c.relname ~ '^\(table)_([0-9]{8}|history)$'
                    AND c.relnamespace =
                        (SELECT relnamespace FROM pg_class WHERE oid = '\(table)'::regclass))
        SELECT name, attached, pending FROM parts
            WHERE ended <= (\(now))::timestamptz - make_interval(days => $1)
            ORDER BY ended, name DESC
        """
    }
}
