import Events
import HTTP
import Reactor
import TestSupport
import Testing

@testable import Server

@Suite struct `Access` {
    private static func ring(_ keys: [(String, APIKey)], hasKeys: Bool = true) -> KeyRing {
        let ring = KeyRing()
        ring.replace(with: keys.map { (KeyDigest(of: Array($0.0.utf8)), $0.1) }, hasKeys: hasKeys)
        return ring
    }

    private static let keys: [(String, APIKey)] = [
        ("writer", APIKey(id: 1, name: "w", scopes: .write)),
        ("reader", APIKey(id: 2, name: "r", scopes: .read)),
        ("admin", APIKey(id: 3, name: "a", scopes: [.write, .read, .admin])),
        ("page", APIKey(id: 4, name: "p", scopes: .write, origins: ["https://shop.example"])),
        ("anywhere", APIKey(id: 5, name: "x", scopes: .write, origins: ["*"])),
    ]

    private static func routes(_ router: inout Router) {
        let answer: Handler = { request, _ in
            Response(contentType: "text/plain", bytes: Array((request.principal?.key.name ?? "-").utf8))
        }
        router.add(.get, "/open", for: .anyone, answer)
        router.add(.post, "/write", for: .scope(.write), answer)
        router.add(.get, "/read", for: .scope(.read), answer)
        router.add(.delete, "/admin", for: .scope(.admin), answer)
    }

    /// Asks once with these field lines; returns the answer.
    private static func ask(
        _ server: TestServer,
        _ line: String,
        host: String = "127.0.0.1",
        _ fields: String...
    ) async throws -> Answer {
        let lines = [line + " HTTP/1.1", "Host: \(host)", "Content-Length: 0", "Connection: close"] + fields
        let answers = try await server.exchange(lines.joined(separator: "\r\n") + "\r\n\r\n")
        return try #require(answers.first)
    }

    private static func base64(_ text: String) -> String {
        var output: [UInt8] = []
        Base64.append(Array(text.utf8).span, to: &output)
        return String(decoding: output, as: UTF8.self)
    }

    private static let lines = ["GET /open", "POST /write", "GET /read", "DELETE /admin"]

    @Test func `follows from the key's scopes, on every route`() async throws {
        let ring = Self.ring(Self.keys)
        try await withServer({ $0.access = AccessControl(ring: ring) }, routes: Self.routes) { server in
            let table: [(key: String?, statuses: [Int])] = [
                (nil, [200, 401, 401, 401]),
                ("nobody", [200, 401, 401, 401]),
                ("writer", [200, 200, 403, 403]),
                ("reader", [200, 403, 200, 403]),
                ("admin", [200, 200, 200, 200]),
            ]
            for (key, statuses) in table {
                for (line, status) in zip(Self.lines, statuses) {
                    let fields = key.map { "Authorization: Bearer \($0)" } ?? "X-Nothing: 1"
                    let answer = try await Self.ask(server, line, fields)
                    #expect(answer.status == status, "\(line) with \(key ?? "no key")")
                    let challenges = status == 401 || status == 403
                    #expect((answer["www-authenticate"] != nil) == challenges)
                    #expect(!answer.text.contains(key ?? "-----"), "a key must not come back")
                }
            }
        }
    }

    @Test func `takes a key in four places, the query's for sending only`() async throws {
        let ring = Self.ring(Self.keys)
        try await withServer({ $0.access = AccessControl(ring: ring) }, routes: Self.routes) { server in
            let fine = [
                "Authorization: Bearer admin", "authorization: bearer   admin", "X-API-Key: admin",
                "Authorization: Basic \(Self.base64("admin:"))",
                "Authorization: Basic \(Self.base64("admin"))",
                "Authorization: BASIC \(Self.base64("admin:anything"))",
            ]
            for field in fine {
                let answer = try await Self.ask(server, "GET /read", field)
                #expect(answer.status == 200 && answer.text == "a", "\(field)")
            }
            let wrong = [
                "Authorization: admin", "Authorization: Bearer", "Authorization: Bearer a b",
                "Authorization: Digest admin", "Authorization: Basic !!!",
                "Authorization: Basic \(Self.base64(":"))",
                "Authorization: Bearer \(String(repeating: "x", count: 300))", "X-API-Key: é",
            ]
            for field in wrong {
                let answer = try await Self.ask(server, "GET /read", field)
                #expect(answer.status == 401, "\(field)")
            }
            let written = try await Self.ask(server, "POST /write?key=wri%74er")
            #expect(written.status == 200 && written.text == "w")
            let read = try await Self.ask(server, "GET /read?key=reader")
            #expect(read.status == 401 && read.member("code") == "key_in_query")
            // The field counts, not the query, when there are both.
            #expect(try await Self.ask(server, "POST /write?key=writer", "X-API-Key: no").status == 401)
        }
    }

    @Test func `is this machine's before the first key, and needs one ever after`() async throws {
        let ring = KeyRing()
        try await withServer({ $0.access = AccessControl(ring: ring) }, routes: Self.routes) { server in
            for line in Self.lines { #expect(try await Self.ask(server, line).status == 200) }
            // A page of another site in a browser on this machine, and a foreign name for this machine.
            for line in Self.lines {
                let answer = try await Self.ask(server, line, "Origin: https://evil.example")
                #expect(answer.status == 403 && answer.member("code") == "origin_not_allowed", "\(line)")
            }
            for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]"] {
                #expect(try await Self.ask(server, "DELETE /admin", host: host).status == 403, "\(host)")
                #expect(try await Self.ask(server, "GET /read", host: host).status == 403, "\(host)")
            }
            for host in ["localhost", "LocalHost:80", "[::1]:8080", "127.9.9.9"] {
                #expect(try await Self.ask(server, "DELETE /admin", host: host).status == 200, "\(host)")
            }
            let own = try await Self.ask(server, "POST /write", "Origin: http://127.0.0.1")
            #expect(own.status == 200)

            ring.replace(with: [], hasKeys: true)
            #expect(try await Self.ask(server, "POST /write").status == 401)
            #expect(try await Self.ask(server, "GET /open").status == 200)
        }
    }

    @Test func `is everybody's when open, but a key that is shown must be right`() async throws {
        let ring = Self.ring(Self.keys)
        try await withServer(
            { $0.access = AccessControl(ring: ring, isOpen: true) },
            routes: Self.routes
        ) { server in
            for line in Self.lines {
                let answer = try await Self.ask(
                    server,
                    line,
                    host: "any.example",
                    "Origin: https://a.example"
                )
                #expect(answer.status == 200, "\(line)")
                #expect(answer["access-control-allow-origin"] == "*")
            }
            #expect(try await Self.ask(server, "GET /read", "X-API-Key: no").status == 401)
            #expect(try await Self.ask(server, "GET /read", "X-API-Key: writer").status == 403)
        }
    }

    @Test func `of pages follows the key's origins`() async throws {
        let ring = Self.ring(Self.keys)
        try await withServer({ $0.access = AccessControl(ring: ring) }, routes: Self.routes) { server in
            func post(_ key: String, _ origin: String) async throws -> Answer {
                try await Self.ask(server, "POST /write", "X-API-Key: \(key)", "Origin: \(origin)")
            }
            let shop = try await post("page", "https://shop.example")
            #expect(shop.status == 200)
            #expect(shop["access-control-allow-origin"] == "https://shop.example")
            #expect(shop["vary"] == "Origin")
            let other = try await post("page", "https://evil.example")
            #expect(other.status == 403 && other["access-control-allow-origin"] == nil)
            // A key without origins is for servers: nobody is stopped, and no page may read the answer.
            let server1 = try await post("writer", "https://shop.example")
            #expect(server1.status == 200 && server1["access-control-allow-origin"] == nil)
            #expect(try await post("anywhere", "null")["access-control-allow-origin"] == "null")

            let asked = try await Self.ask(
                server,
                "OPTIONS /write",
                "Origin: https://new.example",
                "Access-Control-Request-Method: POST"
            )
            #expect(asked.status == 204)
            #expect(asked["access-control-allow-origin"] == "https://new.example")
            #expect(asked["access-control-allow-headers"]?.contains("Authorization") == true)

            ring.replace(with: [], hasKeys: true)
            let refused = try await Self.ask(
                server,
                "OPTIONS /write",
                "Origin: https://new.example",
                "Access-Control-Request-Method: POST"
            )
            #expect(refused["access-control-allow-origin"] == nil)
        }
    }

    @Test func `keeps what a key has used of its rate when the keys are read again`() throws {
        var key = APIKey(id: 7, name: "n", scopes: .write, rate: 5)
        let digest = KeyDigest(of: [1])
        let ring = KeyRing()
        ring.replace(with: [(digest, key)], hasKeys: true)
        let first = try #require(ring.principal(of: digest))
        #expect(first.isAdmitted)
        #expect(first.charge(1_000_000) > .seconds(100_000))
        key.name = "renamed"
        ring.replace(with: [(digest, key)], hasKeys: true)
        let second = try #require(ring.principal(of: digest))
        #expect(second.key.name == "renamed" && !second.isAdmitted)
        #expect(second.rateFields.map(\.0) == ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"])
        #expect(ring.principal(of: KeyDigest(of: [2])) == nil)
    }
}
