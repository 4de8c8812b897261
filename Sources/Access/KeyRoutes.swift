import Events
import HTTP
package import Server

/// `/v1/keys`: making, listing and revoking keys, for those with the scope `admin`.
package struct KeyRoutes: Sendable {
    private let store: KeyStore
    private let ring: KeyRing

    private static let bodyBytesMax = 64 << 10

    package init(_ store: KeyStore, ring: KeyRing) {
        self.store = store
        self.ring = ring
    }

    package func add(to router: inout Router) {
        let admin = Access.scope(.admin)
        router.add(.post, "/v1/keys", for: admin) { request, body in
            await Self.answer(request) { () throws(KeyError) in try await create(request, body) }
        }
        router.add(.get, "/v1/keys", for: admin) { request, _ in
            await Self.answer(request) { () throws(KeyError) in try await list() }
        }
        router.add(.get, "/v1/keys/{id}", for: admin) { request, _ in
            await Self.answer(request) { () throws(KeyError) in try await one(request) }
        }
        router.add(.delete, "/v1/keys/{id}", for: admin) { request, _ in
            await Self.answer(request) { () throws(KeyError) in try await revoke(request) }
        }
    }

    private static func answer(
        _ request: Request,
        _ body: () async throws(KeyError) -> Response
    ) async -> Response {
        do throws(KeyError) { return try await body() } catch {
            switch error {
            case .invalid(let member, let expected):
                return request.problem(400, "invalid_parameter", "\(member): expected \(expected).")
            case .notFound: return request.problem(404, "not_found", "There is no such key.")
            case .unavailable:
                return request.unavailable(
                    "database_unavailable",
                    "The keys cannot be read or changed just now."
                )
            }
        }
    }

    private func create(_ request: Request, _ reader: BodyReader) async throws(KeyError) -> Response {
        let members: [String: JSONValue]
        do throws(RefusedBody) {
            members = try await request.object(of: reader, atMost: Self.bodyBytesMax)
        } catch {
            return error.answer
        }
        let (made, stored) = try await store.create(Self.newKey(members), by: Self.actor(of: request))
        // In force here at once; the other nodes ask within seconds.
        try await store.load(into: ring)
        var json = JSONWriter()
        Self.write(stored, key: made.key, to: &json)
        return Response(
            status: 201,
            fields: [("Location", "/v1/keys/\(stored.key.id)"), ("Cache-Control", "no-store")],
            bytes: json.finish()
        )
    }

    private func list() async throws(KeyError) -> Response {
        var json = JSONWriter()
        json.beginObject()
        json.key("keys")
        json.beginArray()
        for stored in try await store.list() { Self.write(stored, key: nil, to: &json) }
        json.endArray()
        json.endObject()
        return Response(bytes: json.finish())
    }

    private func one(_ request: Request) async throws(KeyError) -> Response {
        let id = try Self.id(of: request)
        guard let stored = try await store.list().first(where: { $0.key.id == id }) else { throw .notFound }
        var json = JSONWriter()
        Self.write(stored, key: nil, to: &json)
        return Response(bytes: json.finish())
    }

    private func revoke(_ request: Request) async throws(KeyError) -> Response {
        try await store.revoke(Self.id(of: request), by: Self.actor(of: request))
        try await store.load(into: ring)
        return Response(status: 204, contentType: nil, bytes: [])
    }

    // MARK: Words

    private static func id(of request: Request) throws(KeyError) -> Int64 {
        guard let id = request.parameters["id"].flatMap({ Int64($0) }) else { throw .notFound }
        return id
    }

    private static func actor(of request: Request) -> Actor {
        Actor(name: request.actor, requestID: request.id)
    }

    private static let members: Set<String> = [
        "name", "scopes", "source", "types", "origins", "rate", "burst",
    ]

    private static func newKey(_ members: [String: JSONValue]) throws(KeyError) -> NewKey {
        if let unknown = members.keys.filter({ !Self.members.contains($0) }).min() {
            throw .invalid(unknown, "no such member")
        }
        func strings(_ name: String) throws(KeyError) -> [String] {
            guard let value = members[name], value != .null else { return [] }
            guard let strings = value.strings else { throw .invalid(name, "a list of strings") }
            return strings
        }
        func integer(_ name: String) throws(KeyError) -> Int? {
            guard let value = members[name], value != .null else { return nil }
            guard let integer = value.integer.flatMap({ Int(exactly: $0) }) else {
                throw .invalid(name, "a whole number")
            }
            return integer
        }
        guard let name = members["name"]?.string else { throw .invalid("name", "a string") }
        let source = members["source"] ?? .null
        if source != .null, source.string == nil { throw .invalid("source", "a string") }
        return try NewKey(
            name: name,
            scopes: strings("scopes"),
            source: source.string,
            types: strings("types"),
            origins: strings("origins"),
            rate: number(members["rate"]),
            burst: integer("burst")
        )
    }

    private static func number(_ value: JSONValue?) throws(KeyError) -> Double? {
        switch value {
        case nil, .null: nil
        case .integer(let integer): Double(integer)
        case .number(let number): number
        default: throw .invalid("rate", "a number")
        }
    }

    private static func write(_ stored: StoredKey, key: String?, to json: inout JSONWriter) {
        json.beginObject()
        json.member("id", stored.key.id)
        if let key { json.member("key", key) }
        json.member("hint", stored.hint)
        json.member("name", stored.key.name)
        list("scopes", stored.key.scopes.names, to: &json)
        json.member("source", stored.key.source)
        list("types", stored.key.types, to: &json)
        list("origins", stored.key.origins, to: &json)
        json.key("rate")
        if let rate = stored.key.rate { json.double(rate) } else { json.null() }
        json.member("burst", stored.key.burst)
        json.member("created_at", stored.createdAt)
        json.member("revoked_at", stored.revokedAt)
        json.endObject()
    }

    private static func list(_ name: String, _ strings: [String], to json: inout JSONWriter) {
        json.key(name)
        json.beginArray()
        for string in strings { json.string(string) }
        json.endArray()
    }
}
