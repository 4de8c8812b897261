package import Reactor

/// Brings a database's schema to the version that this binary was written for.
///
/// What ran is kept in `schema_migrations`. A session lock makes nodes that start together take turns; each
/// migration and its row are one transaction, so that a crash leaves whole ones only.
package struct Migrator: Sendable {
    private let migrations: [Migration]

    /// Any number that nobody else locks: "millrace" in ASCII.
    private static let lock: Int64 = 0x6D69_6C6C_7261_6365

    /// Knows `migrations`, in ascending order of their versions.
    package init(_ migrations: [Migration] = Migration.all) {
        precondition(
            zip(migrations, migrations.dropFirst()).allSatisfy { $0.version < $1.version },
            "migrations come in the order of their versions"
        )
        self.migrations = migrations
    }

    /// Says which migrations the database has; changes nothing.
    ///
    /// - Throws: what ``migrate(on:to:isDryRun:deadline:)`` would refuse with.
    package func status(
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(MigrationError) -> [MigrationStatus] {
        try check(await applied(on: connection, deadline))
    }

    /// Runs what is pending up to version `target` (all of it by default) and returns what ran.
    ///
    /// A dry run returns what would run.
    package func migrate(
        on connection: PostgresConnection,
        to target: Int? = nil,
        isDryRun: Bool = false,
        deadline: Deadline
    ) async throws(MigrationError) -> [Migration] {
        if isDryRun { return try await pending(on: connection, to: target, deadline) }
        try await run("SELECT pg_advisory_lock(\(Self.lock))", on: connection, deadline)
        do throws(MigrationError) {
            let migrations = try await pending(on: connection, to: target, deadline)
            if !migrations.isEmpty { try await run(Self.tableSQL, on: connection, deadline) }
            for migration in migrations { try await apply(migration, on: connection, deadline) }
            try await run("SELECT pg_advisory_unlock(\(Self.lock))", on: connection, deadline)
            return migrations
        } catch {
            // Where even this fails the session has ended, and its locks with it.
            _ = try? await run("SELECT pg_advisory_unlock(\(Self.lock))", on: connection, deadline)
            throw error
        }
    }

    private static let tableSQL = """
        CREATE TABLE IF NOT EXISTS schema_migrations (
            version int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT now())
        """

    private func pending(
        on connection: PostgresConnection,
        to target: Int?,
        _ deadline: Deadline
    ) async throws(MigrationError) -> [Migration] {
        let status = try check(await applied(on: connection, deadline))
        let current = status.last { $0.appliedAt != nil }?.migration.version ?? 0
        if let target, target < current || (target > 0 && !migrations.contains { $0.version == target }) {
            throw .noSuchTarget(target)
        }
        return status.filter { $0.appliedAt == nil }.map(\.migration)
            .filter { $0.version <= target ?? .max }
    }

    private func apply(
        _ migration: Migration,
        on connection: PostgresConnection,
        _ deadline: Deadline
    ) async throws(MigrationError) {
        // One simple Query without BEGIN is one transaction. The name and the checksum come from file names
        // and hex.
        let sql = """
            \(migration.sql)
            ;INSERT INTO schema_migrations (version, name, checksum)
            VALUES (\(migration.version), '\(migration.name)', '\(migration.checksum)')
            """
        do throws(PostgresError) {
            _ = try await connection.simple(sql, deadline: deadline)
        } catch .server(let error) {
            throw .refused(version: migration.version, name: migration.name, error)
        } catch {
            throw .database(error)
        }
    }

    // MARK: What the database has

    private struct Applied {
        let version: Int
        let name: String
        let checksum: String
        let appliedAt: String
    }

    private func applied(
        on connection: PostgresConnection,
        _ deadline: Deadline
    ) async throws(MigrationError) -> [Applied] {
        let table = try await run("SELECT to_regclass('schema_migrations')", on: connection, deadline)
        if table.value == nil { return [] }
        let result = try await run(
            "SELECT version, name, checksum, applied_at FROM schema_migrations ORDER BY version",
            on: connection,
            deadline
        )
        return result.rows.compactMap { row in
            guard let version = row[0].flatMap({ Int($0) }), let name = row[1], let sum = row[2],
                let time = row[3]
            else { return nil }
            return Applied(version: version, name: name, checksum: sum, appliedAt: time)
        }
    }

    private func check(_ applied: [Applied]) throws(MigrationError) -> [MigrationStatus] {
        let known = migrations.last?.version ?? 0
        let latest = applied.last?.version ?? 0
        if latest > known { throw .newerDatabase(version: latest, known: known) }
        for row in applied where !migrations.contains(where: { $0.version == row.version }) {
            throw .newerDatabase(version: row.version, known: known)
        }
        var status: [MigrationStatus] = []
        for migration in migrations {
            let row = applied.first { $0.version == migration.version }
            if row == nil, migration.version < latest {
                throw .outOfOrder(version: migration.version, name: migration.name)
            }
            if let row, row.checksum != migration.checksum {
                throw .checksumChanged(version: row.version, name: row.name)
            }
            status.append(MigrationStatus(migration: migration, appliedAt: row?.appliedAt))
        }
        return status
    }

    @discardableResult
    private func run(
        _ sql: String,
        on connection: PostgresConnection,
        _ deadline: Deadline
    ) async throws(MigrationError) -> PostgresResult {
        do throws(PostgresError) {
            return try await connection.query(sql, deadline: deadline)
        } catch {
            throw .database(error)
        }
    }
}
