/// One step of the schema: a file `NNNN_name.sql` of the folder `migrations`.
package struct Migration: Equatable, Sendable {
    package let version: Int
    package let name: String
    package let sql: String
    /// 64-bit FNV-1a of the file's bytes, as 16 hexadecimal digits.
    ///
    /// It tells an edited file from the one that ran; it is no defence against somebody who means harm.
    package let checksum: String

    /// Makes a migration of a file's text.
    package init(version: Int, name: String, sql: String) {
        self.version = version
        self.name = name
        self.sql = sql
        checksum = Self.checksum(of: sql)
    }

    static func checksum(of text: String) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// A migration and whether the database has it.
package struct MigrationStatus: Equatable, Sendable {
    package let migration: Migration
    /// When it ran, as PostgreSQL writes it; `nil` while it is pending.
    package let appliedAt: String?
}

/// Why the schema was left as it is.
package enum MigrationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file of a migration that ran has been edited since.
    case checksumChanged(version: Int, name: String)
    /// The database has migrations that this binary does not know: it belongs to a newer one.
    case newerDatabase(version: Int, known: Int)
    /// An older migration is missing although a newer one ran.
    case outOfOrder(version: Int, name: String)
    /// `--to` names no migration, or one below what the database has; there is no way back.
    case noSuchTarget(Int)
    /// The migration's own SQL was refused; nothing of it remains.
    case refused(version: Int, name: String, ServerError)
    case database(PostgresError)

    /// Whether the database must not be touched by this binary at all (exit code 78).
    package var isForeignSchema: Bool {
        switch self {
        case .checksumChanged, .newerDatabase, .outOfOrder: true
        case .noSuchTarget, .refused, .database: false
        }
    }

    package var description: String {
        switch self {
        case .checksumChanged(let version, let name):
            "migration \(version) (\(name)) has been edited since the database ran it"
        case .newerDatabase(let version, let known):
            "the database is at schema \(version), this binary knows \(known): use a newer millrace"
        case .outOfOrder(let version, let name):
            "migration \(version) (\(name)) is missing, although the database has later ones"
        case .noSuchTarget(let version): "there is no way to schema \(version)"
        case .refused(let version, let name, let error): "migration \(version) (\(name)): \(error)"
        case .database(let error): error.description
        }
    }
}
