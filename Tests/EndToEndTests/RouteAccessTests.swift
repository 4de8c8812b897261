import Foundation
import Reactor
import TestSupport
import Testing

/// What a route asks of a key, written down apart from the program; and a request that it answers.
private struct RouteRow: Sendable {
    enum Need: String { case anyone = "", write, read, admin }

    /// The method and the pattern, as the program adds them to its router.
    let route: String
    let need: Need
    /// What is asked for.
    let target: String
    /// The answer to who may ask.
    let fine: Int
    var body: String?

    init(_ route: String, _ need: Need, _ target: String? = nil, fine: Int = 200, body: String? = nil) {
        self.route = route
        self.need = need
        self.target = target ?? String(route.split(separator: " ")[1])
        self.fine = fine
        self.body = body
    }

    var method: String { String(route.prefix { $0 != " " }) }

    /// Every route of the service; one that is new there needs a row here.
    static let all = [
        RouteRow("GET /", .anyone),
        RouteRow("GET /dashboard.css", .anyone),
        RouteRow("GET /dashboard.js", .anyone),
        RouteRow("GET /docs", .anyone),
        RouteRow("GET /docs.css", .anyone),
        RouteRow("GET /docs.js", .anyone),
        RouteRow("GET /openapi.json", .anyone),
        RouteRow("GET /healthz", .anyone),
        RouteRow("GET /readyz", .anyone),
        RouteRow("GET /metrics", .read),
        RouteRow("GET /v1/stats", .read),
        // Its answer has no end but for one that is refused.
        RouteRow("GET /v1/stats/live", .read, "/v1/stats/live?x=1", fine: 400),
        RouteRow("GET /v1/stats/series", .read, "/v1/stats/series?metric=count"),
        RouteRow("GET /v1/stats/types", .read),
        RouteRow("GET /v1/stats/sources", .read),
        RouteRow("GET /v1/stats/subjects", .read),
        RouteRow("GET /v1/accounts", .read),
        RouteRow("GET /v1/events", .read),
        RouteRow("GET /v1/events/{id}", .read, "/v1/events/none", fine: 404),
        RouteRow("POST /v1/events", .write, "/v1/events?validate=only", body: #"{"type":"t"}"#),
        RouteRow("GET /v1/rejects", .read),
        RouteRow("GET /v1/rejects/{n}", .read, "/v1/rejects/1", fine: 404),
        RouteRow("POST /v1/rejects/replay", .admin, fine: 400, body: "{}"),
        RouteRow("DELETE /v1/rejects", .admin, fine: 400),
        RouteRow("DELETE /v1/rejects/{n}", .admin, "/v1/rejects/1", fine: 404),
        RouteRow("GET /v1/analyses", .read),
        RouteRow("GET /v1/analyses/kinds", .read),
        RouteRow("POST /v1/analyses", .read, fine: 422, body: "{}"),
        RouteRow("GET /v1/analyses/{id}", .read, "/v1/analyses/1", fine: 404),
        RouteRow("DELETE /v1/analyses/{id}", .read, "/v1/analyses/1", fine: 404),
        RouteRow("POST /v1/analyses/{id}/retry", .read, "/v1/analyses/1/retry", fine: 404),
        RouteRow("GET /v1/keys", .admin),
        RouteRow("POST /v1/keys", .admin, fine: 400, body: "{}"),
        RouteRow("GET /v1/keys/{id}", .admin, "/v1/keys/1"),
        // A key that has been revoked already: again is nothing.
        RouteRow("DELETE /v1/keys/{id}", .admin, "/v1/keys/1", fine: 204),
    ]
}

/// A key, what it is good for, and how it is shown.
private struct Shown: Sendable {
    enum Place: CaseIterable { case bearer, field, basic, query }

    /// `nil` for none at all.
    let key: String?
    let scopes: Set<String>
    let isValid: Bool
    let place: Place

    var fields: [(String, String)] {
        guard let key else { return [] }
        switch place {
        case .bearer: return [("Authorization", "Bearer \(key)")]
        case .field: return [("X-API-Key", key)]
        case .basic: return [("Authorization", "Basic \(Data("\(key):".utf8).base64EncodedString())")]
        case .query: return []
        }
    }

    func target(of row: RouteRow) -> String {
        guard let key, place == .query else { return row.target }
        return row.target + (row.target.contains("?") ? "&" : "?") + "key=" + key
    }

    /// The status and, of a refusal, the code that the contract wants.
    func expected(of row: RouteRow) -> (status: Int, code: String?) {
        if row.need == .anyone { return (row.fine, nil) }
        if key == nil { return (401, "missing_key") }
        if place == .query, row.need != .write { return (401, "key_in_query") }
        if !isValid { return (401, "invalid_key") }
        return scopes.contains(row.need.rawValue) ? (row.fine, nil) : (403, "insufficient_scope")
    }
}

private struct AccessProblem: Decodable { let code: String }

extension `End to end` {
    private static let combinations: [Set<String>] = [
        ["write"], ["read"], ["admin"], ["write", "read"], ["write", "admin"], ["read", "admin"],
        ["write", "read", "admin"],
    ]

    @Test func `asks for the scope of the table on every route, whatever key is shown and however`()
        async throws
    {
        try await Installation.with { installation in
            let service = try await installation.serve(["--log-level", "debug", "--log", "json"])
            #expect(
                try Self.routes(of: service) == Set(RouteRow.all.map { "\($0.route) \($0.need.rawValue)" })
            )

            let shown = try await Self.shown(installation, service)
            for shown in shown {
                try await service.connect { connection in
                    for row in RouteRow.all {
                        try await Self.check(row, shown, on: connection)
                    }
                }
            }
            // Nothing that was tried has changed anything.
            #expect(try await installation.number("SELECT count(*) FROM events") == 0)
            let keys = "SELECT count(*) FROM keys WHERE revoked_at IS NULL"
            #expect(try await installation.number(keys) == Self.combinations.count)
        }
    }

    /// The description of the interface has every route but the files that pages load, with its scope.
    @Test func `describes every route that it has, and none else`() async throws {
        struct Operation: Decodable {
            let scope: String?

            enum CodingKeys: String, CodingKey { case scope = "x-scope" }
        }
        struct Description: Decodable {
            struct Info: Decodable { let version: String }
            let info: Info
            let paths: [String: [String: Operation]]
        }
        struct Statistics: Decodable {
            struct Node: Decodable { let version: String }
            let node: Node
        }
        try await Installation.with { installation in
            let service = try await installation.serve(["--log-level", "debug", "--log", "json"])
            let (description, version) = try await service.connect { connection in
                (
                    try await connection.send("GET", "/openapi.json").decode(Description.self),
                    try await connection.send("GET", "/v1/stats").decode(Statistics.self).node.version
                )
            }
            #expect(description.info.version == version)
            let described = description.paths.flatMap { path, operations in
                operations.map { "\($0.key.uppercased()) \(path) \($0.value.scope ?? "")" }
            }
            let routes = try Self.routes(of: service).filter { !$0.contains(".js ") && !$0.contains(".css ") }
            #expect(Set(described).symmetricDifference(routes) == [])
        }
    }

    /// The routes that the running program says it has: method, pattern, scope.
    private static func routes(of service: RunningService) throws -> Set<String> {
        struct Line: Decodable {
            let msg: String
            var method: String?
            var path: String?
            var scope: String?
        }
        let log = service.program.log(bytesMax: 1 << 24)
        let lines = try log.split(separator: "\n").map {
            try JSONDecoder().decode(Line.self, from: Data($0.utf8))
        }
        let routes = lines.filter { $0.msg == "route" }.map {
            "\($0.method ?? "") \($0.path ?? "") \($0.scope ?? "")"
        }
        #expect(Set(routes).count == routes.count, "a route is there twice")
        return Set(routes)
    }

    /// No key, wrong ones, and a key of each combination of scopes, shown in each way.
    private static func shown(
        _ installation: Installation,
        _ service: RunningService
    ) async throws -> [Shown] {
        let desk = KeyDesk(installation: installation, url: service.url)
        let revoked = try await desk.create(["--name", "gone", "--scope", "admin"])
        let root = try await desk.create(["--name", "root", "--scope", "admin"], key: revoked)
        let gone = try await installation.run(
            ["keys", "revoke", "1", "--url", service.url],
            environment: ["MILLRACE_KEY": root]
        )
        try #require(gone.status == .exited(0), "\(gone.complaint)")
        var keys: [(key: String?, scopes: Set<String>, isValid: Bool)] = [
            (nil, [], false), (revoked, ["admin"], false), ("nobody", [], false),
            ("mr_" + String(repeating: "x", count: 43), [], false), (root, ["admin"], true),
        ]
        for scopes in combinations where scopes != ["admin"] {
            let options = ["--name", "k"] + scopes.flatMap { ["--scope", $0] }
            keys.append((try await desk.create(options, key: root), scopes, true))
        }
        return keys.flatMap { key, scopes, isValid in
            (key == nil ? [Shown.Place.bearer] : Shown.Place.allCases).map {
                Shown(key: key, scopes: scopes, isValid: isValid, place: $0)
            }
        }
    }

    private static func check(
        _ row: RouteRow,
        _ shown: Shown,
        on connection: WireConnection
    ) async throws {
        let fields = shown.fields + (row.body == nil ? [] : RunningService.json)
        let answer = try await connection.send(
            row.method,
            shown.target(of: row),
            fields: fields,
            body: row.body.map { Array($0.utf8) }
        )
        let expected = shown.expected(of: row)
        let comment: Comment =
            "\(row.route), \(shown.scopes.sorted()) \(shown.isValid ? "" : "not valid ")by \(shown.place)"
        #expect(answer.status == expected.status, comment)
        if let code = expected.code {
            #expect(try answer.decode(AccessProblem.self).code == code, comment)
            #expect(answer.fields["www-authenticate"]?.hasPrefix("Bearer ") == true, comment)
        }
    }
}
