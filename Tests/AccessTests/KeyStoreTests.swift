import Access
import Postgres
import Reactor
import Server
import TestSupport
import Testing

@Suite struct `Key store` {
    /// A database with the schema, a store, and a connection to look at the tables with.
    private func with(
        _ body: @escaping @Sendable (KeyStore, PostgresConnection) async throws -> Void
    ) async throws {
        try await TestCluster.withDatabase { database in
            let admin = try await database.connect(name: "admin")
            _ = try await Migrator().migrate(on: admin, deadline: TestCluster.deadline)
            let connection = try await database.connect(name: "keys")
            try await OnLoop(database.loop).run { try await body(KeyStore(connection), admin) }
            await connection.close()
            await admin.close()
        }
    }

    @Test func `keeps all of a key but the key`() async throws {
        try await with { store, admin in
            let ring = KeyRing()
            try await store.load(into: ring)
            #expect(!ring.hasKeys)

            let new = try NewKey(
                name: "sho'p, \"1\"",
                scopes: ["read", "write"],
                source: "/shop",
                types: ["order.placed", "a,b", "{x}"],
                origins: ["https://shop.example", "*"],
                rate: 2.5,
                burst: 100
            )
            let (made, stored) = try await store.create(new, by: Actor(name: "test", requestID: "r-1"))

            #expect(stored.key.name == new.name && stored.key.scopes == [.write, .read])
            #expect(stored.key.types == new.types && stored.key.origins == new.origins)
            #expect(stored.key.source == "/shop" && stored.key.rate == 2.5 && stored.key.burst == 100)
            #expect(stored.revokedAt == nil && made.key.hasSuffix(stored.hint))
            #expect(try await store.list() == [stored])
            try await store.load(into: ring)
            #expect(ring.hasKeys)

            for table in ["keys", "audit"] {
                let rows = try await admin.query(
                    "SELECT t::text FROM \(table) t",
                    deadline: TestCluster.deadline
                )
                #expect(rows.rows.count == 1)
                let text = try #require(rows.rows[0][0])
                #expect(!text.contains(made.key) && !text.contains(made.key.dropFirst(3)), "\(table)")
            }
        }
    }

    @Test func `revokes once, and says who did what`() async throws {
        try await with { store, admin in
            let new = try NewKey(name: "a", scopes: ["admin"])
            let (_, stored) = try await store.create(new, by: Actor(name: "cli:me"))
            let actor = Actor(name: "key:1", requestID: "r-2")
            try await store.revoke(stored.key.id, by: actor)
            try await store.revoke(stored.key.id, by: actor)
            await #expect(throws: KeyError.notFound) { try await store.revoke(99, by: actor) }

            #expect(try await store.list().map { $0.revokedAt == nil } == [false])
            let ring = KeyRing()
            try await store.load(into: ring)
            #expect(ring.hasKeys, "there was a key, so nobody gets in without one")
            let audit = try await admin.query(
                "SELECT actor, action, target, detail->>'name', request_id FROM audit ORDER BY n",
                deadline: TestCluster.deadline
            )
            let target = "key:\(stored.key.id)"
            #expect(
                audit.rows == [
                    ["cli:me", "key.create", target, "a", nil], ["key:1", "key.revoke", target, "a", "r-2"],
                ]
            )
        }
    }
}
