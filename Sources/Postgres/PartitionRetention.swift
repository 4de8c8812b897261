package import Reactor

extension PartitionKeeper {
    /// A partition as the catalogue has it.
    package struct Partition: Equatable, Sendable {
        /// The keeper's own, which needs no quotes.
        package let name: String
        /// What it takes on disk, indexes included.
        package let bytes: Int
        /// Whole seconds since its last day has ended; less than none before.
        package let secondsOver: Int
        let isAttached: Bool
        /// Whether detaching it was begun and not ended.
        let isDetaching: Bool
    }

    /// Drops the partitions whose days have ended at least `days` days ago, the history with the first of
    /// them; returns their names, oldest first.
    ///
    /// A round that is broken off is finished by the next.
    ///
    /// - Throws: ``PostgresError``; what had been dropped before stays dropped.
    @discardableResult
    package func dropExpired(
        days: Int,
        lockTimeout: Duration = .seconds(2),
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(PostgresError) -> [String] {
        guard try await claim(lockTimeout: lockTimeout, on: connection, deadline: deadline) else { return [] }
        do throws(PostgresError) {
            var dropped: [String] = []
            for partition in try await partitions(on: connection, deadline: deadline)
            where partition.secondsOver >= days * 86_400 {
                try await detach(partition, on: connection, deadline: deadline)
                try await drop(partition, on: connection, deadline: deadline)
                dropped.append(partition.name)
            }
            try await release(on: connection, deadline: deadline)
            return dropped
        } catch {
            try? await release(on: connection, deadline: deadline)
            throw error
        }
    }

    /// Claims the right to drop partitions of this table, until ``release(on:deadline:)`` or the end of the
    /// session; `false` where another node has it.
    ///
    /// No statement waits longer than `lockTimeout` for a lock until then.
    package func claim(
        lockTimeout: Duration = .seconds(2),
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(PostgresError) -> Bool {
        let isOurs = try await connection.query(
            "SELECT pg_try_advisory_lock(\(claimKey))",
            deadline: deadline
        )
        guard isOurs.value == "t" else { return false }
        let sql = "SET lock_timeout = \(lockTimeout.milliseconds)"
        _ = try await connection.simple(sql, deadline: deadline)
        return true
    }

    /// Gives back what ``claim(lockTimeout:on:deadline:)`` has got.
    package func release(
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(PostgresError) {
        let sql = "RESET lock_timeout; SELECT pg_advisory_unlock(\(claimKey))"
        _ = try await connection.simple(sql, deadline: deadline)
    }

    private var claimKey: String { "hashtextextended('millrace retention of \(table)', 0)" }

    /// Takes a partition out of the table, so that nobody reads or writes it any more.
    ///
    /// Done without a lock that readers or writers would queue behind (`DETACH PARTITION … CONCURRENTLY`,
    /// PostgreSQL 14).
    package func detach(
        _ partition: Partition,
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(PostgresError) {
        guard partition.isAttached else { return }
        let how = partition.isDetaching ? "FINALIZE" : "CONCURRENTLY"
        // May not stand in a transaction.
        let sql = "ALTER TABLE \(table) DETACH PARTITION \(partition.name) \(how)"
        _ = try await connection.simple(sql, deadline: deadline)
    }

    /// Drops a partition that is detached.
    package func drop(
        _ partition: Partition,
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(PostgresError) {
        _ = try await connection.simple("DROP TABLE IF EXISTS \(partition.name)", deadline: deadline)
    }

    /// All partitions, oldest first, those among them that were detached and not dropped, which are known by
    /// their names.
    package func partitions(
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(PostgresError) -> [Partition] {
        let result = try await connection.query(partitionsSQL, deadline: deadline)
        return result.rows.compactMap { row in
            guard let name = row[0], let bytes = row[1].flatMap({ Int($0) }),
                let secondsOver = row[2].flatMap({ Int($0) })
            else { return nil }
            return Partition(
                name: name,
                bytes: bytes,
                secondsOver: secondsOver,
                isAttached: row[3] == "t",
                isDetaching: row[4] == "t"
            )
        }
    }

    private var partitionsSQL: String {
        """
        WITH parts AS (
            SELECT c.oid, c.relname::text AS name, i.inhrelid IS NOT NULL AS attached,
                    coalesce(i.inhdetachpending, false) AS pending,
                    CASE WHEN c.relname = '\(table)_history'
                        -- A history that is detached has no bound any more; it was to be dropped.
                        THEN coalesce((regexp_match(pg_get_expr(c.relpartbound, c.oid),
                            'TO \\(''([^'']+)''\\)'))[1]::timestamptz, 'epoch')
                        ELSE (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamptz END AS ended
                FROM pg_class c
                LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = '\(table)'::regclass
                WHERE c.relkind = 'r' AND c.relname ~ '^\(table)_([0-9]{8}|history)$'
                    AND c.relnamespace =
                        (SELECT relnamespace FROM pg_class WHERE oid = '\(table)'::regclass))
        SELECT name, pg_total_relation_size(oid),
               floor(extract(epoch FROM (\(now))::timestamptz - ended))::bigint, attached, pending
            FROM parts ORDER BY ended, name DESC
        """
    }
}
