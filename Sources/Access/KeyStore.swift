// Access: who may use the installation, and the record of who has changed that.
//
// Keys live in the table `keys`, of which every node keeps a copy in memory: the server's ``KeyRing``.
// ``KeyStore`` changes the table, each change with its line in `audit` in one transaction; ``KeyWatch``
// brings the copy up to date; ``KeyRoutes`` is the HTTP side of it. What a key lets its owner do is decided
// in Server.

package import Postgres
import Reactor
package import Server

/// A key as the table has it.
package struct StoredKey: Equatable, Sendable {
    package let key: APIKey
    package let hint: String
    /// ISO 8601, UTC.
    package let createdAt: String
    package let revokedAt: String?
}

/// Who changes something, for the audit trail.
package struct Actor: Equatable, Sendable {
    package let name: String
    package let requestID: String?

    package init(name: String, requestID: String? = nil) {
        self.name = name
        self.requestID = requestID
    }
}

/// The keys in PostgreSQL.
package struct KeyStore: Sendable {
    private let connection: PostgresConnection

    private static let timeout = Duration.seconds(10)

    /// Works over `connection`, which it shares with others.
    package init(_ connection: PostgresConnection) { self.connection = connection }

    /// Makes a key; it is told to the caller and kept nowhere.
    package func create(_ new: NewKey, by actor: Actor) async throws(KeyError) -> (MadeKey, StoredKey) {
        let made = MadeKey()
        let rows = try await run(
            """
            WITH made AS (
              INSERT INTO keys (digest, hint, name, scopes, source, types, origins, rate, burst)
                VALUES (decode($1, 'hex'), $2, $3, string_to_array($4, ','), $5,
                        ARRAY(SELECT jsonb_array_elements_text($6::jsonb)),
                        ARRAY(SELECT jsonb_array_elements_text($7::jsonb)), $8, $9)
                RETURNING *),
            noted AS (
              INSERT INTO audit (actor, action, target, detail, request_id)
                SELECT $10, 'key.create', 'key:' || id,
                       jsonb_build_object('name', name, 'scopes', to_jsonb(scopes)), $11 FROM made)
            SELECT \(Self.columns) FROM made
            """,
            [
                Self.hex(made.digest.bytes), made.hint, new.name, new.scopes.names.joined(separator: ","),
                new.source, Self.json(new.types), Self.json(new.origins), new.rate.map { "\($0)" },
                "\(new.burst)", actor.name, actor.requestID,
            ]
        )
        guard let stored = rows.first.flatMap(Self.read) else { throw .unavailable("no row came back") }
        return (made, stored.key)
    }

    /// All keys, the revoked among them, the oldest first.
    package func list() async throws(KeyError) -> [StoredKey] {
        try await rows().compactMap { Self.read($0)?.key }
    }

    /// Revokes a key; again is nothing.
    package func revoke(_ id: Int64, by actor: Actor) async throws(KeyError) {
        let rows = try await run(
            """
            WITH gone AS (
              UPDATE keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING id, name),
            noted AS (
              INSERT INTO audit (actor, action, target, detail, request_id)
                SELECT $2, 'key.revoke', 'key:' || id, jsonb_build_object('name', name), $3 FROM gone)
            SELECT id FROM keys WHERE id = $1
            """,
            ["\(id)", actor.name, actor.requestID]
        )
        if rows.isEmpty { throw .notFound }
    }

    /// Brings `ring` up to date.
    package func load(into ring: KeyRing) async throws(KeyError) {
        let rows = try await rows()
        let stored = rows.compactMap(Self.read)
        ring.replace(
            with: stored.filter { $0.key.revokedAt == nil }.map { ($0.digest, $0.key.key) },
            hasKeys: !rows.isEmpty
        )
    }

    private func rows() async throws(KeyError) -> [[String?]] {
        try await run("SELECT \(Self.columns) FROM keys ORDER BY id", [])
    }

    private func run(_ sql: String, _ parameters: [String?]) async throws(KeyError) -> [[String?]] {
        do throws(PostgresError) {
            let deadline = Deadline.after(Self.timeout)
            try await connection.ensureConnected(deadline: deadline)
            return try await connection.query(sql, parameters, deadline: deadline).rows
        } catch {
            throw .unavailable(error.tag)
        }
    }

    // MARK: Rows

    private static let columns = """
        id, encode(digest, 'hex'), hint, name, array_to_string(scopes, ','), source, to_jsonb(types),
        to_jsonb(origins), rate, burst, to_char(created_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        to_char(revoked_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        """

    private static func read(_ row: [String?]) -> (digest: KeyDigest, key: StoredKey)? {
        guard row.count == 12, let id = row[0].flatMap({ Int64($0) }),
            let digest = row[1].flatMap(unhex).flatMap({ KeyDigest(stored: $0) }),
            let hint = row[2], let name = row[3],
            let scopes = row[4].flatMap({ Scopes(names: $0.split(separator: ",").map(String.init)) }),
            let types = row[6].flatMap(strings), let origins = row[7].flatMap(strings),
            let burst = row[9].flatMap({ Int($0) }), let createdAt = row[10]
        else { return nil }
        let key = APIKey(
            id: id,
            name: name,
            scopes: scopes,
            source: row[5],
            types: types,
            origins: origins,
            rate: row[8].flatMap { Double($0) },
            burst: burst
        )
        return (digest, StoredKey(key: key, hint: hint, createdAt: createdAt, revokedAt: row[11]))
    }
}
