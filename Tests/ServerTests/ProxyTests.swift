import HTTP
import Logging
import Reactor
import Synchronization
import TestSupport
import Testing

@testable import Server

/// A PROXY header of version 2 for an IPv4 client.
private func proxyHeader(_ address: [UInt8], port: UInt16 = 4_711, tail: [UInt8] = []) -> [UInt8] {
    proxyHeader(0x21, 0x11, address + [10, 0, 0, 1, UInt8(port >> 8), UInt8(port & 255), 0, 80] + tail)
}

private func proxyHeader(_ command: UInt8, _ family: UInt8, _ rest: [UInt8]) -> [UInt8] {
    [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]
        + [command, family, UInt8(rest.count >> 8), UInt8(rest.count & 255)] + rest
}

private let outside: [UInt8] = [203, 0, 113, 9]

private func routes(_ router: inout Router) {
    router.add(.get, "/peer", for: .anyone) { request, _ in
        Response(contentType: "text/plain", bytes: Array("\(request.peer)".utf8))
    }
    router.add(.get, "/read", for: .scope(.read)) { request, _ in
        Response(contentType: "text/plain", bytes: Array("\(request.peer)".utf8))
    }
}

@Suite(.timeLimit(.minutes(2))) struct `Connections with a PROXY header` {
    private static let get = Array("GET /peer HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)
    private static let read = Array("GET /read HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)

    private static func with(
        _ configure: @escaping @Sendable (inout HTTPServerConfiguration) -> Void = {
            $0.access = AccessControl(isOpen: true)
        },
        _ body: @escaping @Sendable (TestServer) async throws -> Void
    ) async throws {
        try await withServer(
            { configuration in
                configuration.expectsProxyHeader = true
                configure(&configuration)
            },
            routes: routes,
            body
        )
    }

    @Test func `are those of the client that it names, for every request`() async throws {
        try await Self.with { server in
            let v6 = [0x20, 1, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [7]
            let cases: [(header: [UInt8], peer: String)] = [
                (proxyHeader(outside), "203.0.113.9:4711"),
                (proxyHeader(outside, tail: [4, 0, 1, 0]), "203.0.113.9:4711"),
                (
                    proxyHeader(0x21, 0x21, v6 + [UInt8](repeating: 0, count: 18) + [0, 80]),
                    "[2001:db8::7]"
                ),
                (proxyHeader(0x21, 0x31, [UInt8](repeating: 0, count: 216)), "local"),
            ]
            for (header, peer) in cases {
                let client = try await server.connect()
                defer { client.close() }
                try await client.send(header + Self.get + Self.get)
                #expect(try await client.answer().text == peer)
                #expect(try await client.answer().text == peer)
                try await client.send(Self.get)
                #expect(try await client.answer().text == peer)
            }
            for header in [proxyHeader(0x20, 0, []), proxyHeader(0x21, 0, [])] {
                let client = try await server.connect()
                defer { client.close() }
                try await client.send(header + Self.get)
                #expect(try await client.answer().text.hasPrefix("127.0.0.1:"))
            }
        }
    }

    @Test func `take it in pieces`() async throws {
        try await Self.with { server in
            let client = try await server.connect()
            defer { client.close() }
            for byte in proxyHeader(outside) + Self.get { try await client.send([byte]) }
            #expect(try await client.answer().text == "203.0.113.9:4711")
        }
    }

    @Test func `end without an answer when there is none, a broken one, or half of one`() async throws {
        let metrics = RecordingMetrics()
        try await Self.with({
            $0.limits.headTimeout = .milliseconds(20)
            $0.metrics = metrics
        }) { server in
            var broken = proxyHeader(outside)
            broken[13] = 0x41
            let whole = Array(proxyHeader(outside).dropLast())
            for bytes in [
                Self.get, Array("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n".utf8) + Self.get, broken, whole, [],
            ] {
                let client = try await server.connect()
                defer { client.close() }
                if !bytes.isEmpty { try await client.send(bytes) }
                // A reset says the same as an end.
                #expect((try? await client.untilEnd())?.isEmpty ?? true)
            }
            #expect(metrics.reached("head_timeout") == 2)
            #expect(metrics.value("millrace_http_responses_total{2xx}") == 0)
            #expect(metrics.value("millrace_http_responses_total{4xx}") == 0)
        }
    }

    @Test func `are drained while they have not said who they are`() async throws {
        try await Self.with({ $0.limits.headTimeout = .seconds(1_000) }) { server in
            let client = try await server.connect()
            let other = try await server.connect()
            defer {
                client.close()
                other.close()
            }
            try await client.send([13])
            try await other.send(proxyHeader(outside) + Self.get)
            _ = try await other.answer()
            await server.server.drain(deadline: .after(.seconds(1_000)))
            #expect(try await client.untilEnd().isEmpty)
        }
    }

    /// Like a request on an idle connection: it may have arrived a moment ago.
    @Test func `are answered when the header and a request have come before the drain`() async throws {
        try await Self.with { server in
            let client = try await server.connect()
            let other = try await server.connect()
            defer {
                client.close()
                other.close()
            }
            let header = proxyHeader(outside)
            try await client.send(Array(header.prefix(1)))
            try await other.send(header + Self.get)
            // The server waits for the rest of the first one's header.
            _ = try await other.answer()
            try await client.send(Array(header.dropFirst()) + Self.get)
            await server.server.drain(deadline: .after(.seconds(1_000)))
            let answers = try await client.answersToEnd()
            #expect(answers.map(\.text) == ["203.0.113.9:4711"])
            #expect(answers.first?.closes == true)
        }
    }

    @Test func `are counted by the address that it names`() async throws {
        let metrics = RecordingMetrics()
        try await Self.with({
            $0.access = AccessControl(isOpen: true)
            $0.limits.connectionsPerAddressMax = 1
            $0.metrics = metrics
        }) { server in
            func connect(_ address: [UInt8]) async throws -> (client: TestClient, status: Int) {
                let client = try await server.connect()
                try await client.send(proxyHeader(address) + Self.get)
                return (client, try await client.answer().status)
            }
            let first = try await connect(outside)
            let second = try await connect(outside)
            let third = try await connect([203, 0, 113, 10])
            #expect([first.status, second.status, third.status] == [200, 503, 200])
            #expect(metrics.reached("connections_per_address") == 1)
            #expect(try await second.client.untilEnd().isEmpty)
            first.client.close()
            var again = 503
            let patience = TestServer.patience
            while again != 200, Deadline.now() < patience {
                let next = try await connect(outside)
                next.client.close()
                again = next.status
            }
            #expect(again == 200)
            second.client.close()
            third.client.close()
        }
    }

    /// The header is the proxy's word; nobody gets onto this machine by it.
    @Test func `are local only when both ends of this machine say so`() async throws {
        try await Self.with({ $0.host = "0.0.0.0" }) { server in
            func status(_ header: [UInt8], to host: String = "127.0.0.1") async throws -> Int {
                let client = try await server.connect(to: host)
                defer { client.close() }
                try await client.send(header + Self.read)
                return try await client.answer().status
            }
            let local = proxyHeader([127, 0, 0, 1])
            let own = proxyHeader(0x20, 0, [])
            var statuses: [Int] = []
            for header in [local, own, proxyHeader(outside)] { statuses.append(try await status(header)) }
            #expect(statuses == [200, 200, 403])
            guard let outsideAddress else { return }
            statuses = []
            for header in [local, own] { statuses.append(try await status(header, to: outsideAddress)) }
            #expect(statuses == [403, 403])
        }
    }
}

@Suite(.timeLimit(.minutes(2))) struct `Trusted proxies` {
    private static let loopback = TrustedProxies(networks: [IPNetwork("127.0.0.0/8")].compactMap { $0 })

    private static func ask(
        _ server: TestServer,
        _ path: String,
        _ fields: [String],
        at host: String = "127.0.0.1"
    ) async throws -> Answer {
        let client = try await server.connect(to: host)
        defer { client.close() }
        let lines = ["GET \(path) HTTP/1.1", "Host: localhost"] + fields
        try await client.send(lines.joined(separator: "\r\n") + "\r\n\r\n")
        return try await client.answer()
    }

    /// The fields, who the client is then, and whether it is on this machine; `nil` for the proxy itself.
    private static let cases: [(fields: [String], client: String?, isLocal: Bool)] = [
        ([], nil, false),
        (["X-Forwarded-For: 203.0.113.9"], "203.0.113.9", false),
        (["Forwarded: for=203.0.113.9"], "203.0.113.9", false),
        (["Forwarded: for=\"[2001:db8::7]:80\";proto=https"], "[2001:db8::7]", false),
        (["X-Forwarded-For: ::ffff:203.0.113.9"], "203.0.113.9", false),
        // What a client made up stands to the left of what a proxy knows.
        (["X-Forwarded-For: 127.0.0.1, 203.0.113.9"], "203.0.113.9", false),
        (["X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: 203.0.113.9"], "203.0.113.9", false),
        (["Forwarded: for=127.0.0.1", "Forwarded: for=203.0.113.9"], "203.0.113.9", false),
        // Several of ours.
        (["X-Forwarded-For: 127.0.0.1, 203.0.113.9, 127.0.0.2"], "203.0.113.9", false),
        (["X-Forwarded-For: 127.0.0.1"], "127.0.0.1", true),
        (["Forwarded: for=127.0.0.1, for=\"127.0.0.2:1\""], "127.0.0.1", true),
        (["Forwarded: for=127.0.0.1", "X-Forwarded-For: 127.0.0.1:9"], "127.0.0.1", true),
        // One of the two is what a client has made up, and nobody knows which.
        (["Forwarded: for=127.0.0.1", "X-Forwarded-For: 203.0.113.9"], nil, false),
        (["Forwarded: for=203.0.113.9", "X-Forwarded-For: 127.0.0.1"], nil, false),
        (["Forwarded: for=127.0.0.1", "X-Forwarded-For: unknown"], nil, false),
        // Not known.
        (["Forwarded: for=unknown"], nil, false),
        (["Forwarded: for=127.0.0.1, for=_hidden"], nil, false),
        (["Forwarded: for=127.0.0.1;x=\"", "Forwarded: for=203.0.113.9"], nil, false),
        (["X-Forwarded-For: 127.0.0.1, localhost"], nil, false),
        (["X-Forwarded-For:"], nil, false),
    ]

    @Test func `say who the client is, and whether it is on this machine`() async throws {
        let access = [AccessControl(), AccessControl(isOpen: true)]
        for (isOpen, access) in zip([false, true], access) {
            try await withServer(
                {
                    $0.proxies = Self.loopback
                    $0.access = access
                },
                routes: routes
            ) { server in
                for (fields, client, isLocal) in Self.cases {
                    let answer = try await Self.ask(server, "/read", fields)
                    #expect(answer.status == (isOpen || isLocal ? 200 : 403), "\(fields)")
                    if !isOpen { continue }
                    if let client { #expect(answer.text == client, "\(fields)") }
                    if client == nil { #expect(answer.text.hasPrefix("127.0.0.1:"), "\(fields)") }
                }
            }
        }
    }

    @Test func `are nobody unless they are named`() async throws {
        let others = TrustedProxies(networks: [IPNetwork("10.0.0.0/8")].compactMap { $0 }, unixSockets: true)
        for proxies in [TrustedProxies(), others] {
            try await withServer({ $0.proxies = proxies }, routes: routes) { server in
                let fields = ["X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9"]
                let answer = try await Self.ask(server, "/read", fields)
                #expect(answer.status == 200 && answer.text.hasPrefix("127.0.0.1:"))
            }
        }
    }

    /// Of another machine: its own loopback is not ours.
    @Test func `elsewhere have no clients on this machine`() async throws {
        guard let outsideAddress, let network = IPNetwork(outsideAddress) else { return }
        let proxies = TrustedProxies(networks: [network])
        try await withServer(
            {
                $0.host = "0.0.0.0"
                $0.proxies = proxies
            },
            routes: routes
        ) { server in
            let answer = try await Self.ask(
                server,
                "/read",
                ["X-Forwarded-For: 127.0.0.1"],
                at: outsideAddress
            )
            #expect(answer.status == 403)
        }
    }

    @Test func `over a Unix socket are believed when they are named, and are local otherwise`() async throws {
        for (isNamed, field, status) in [
            (true, "X-Forwarded-For: 203.0.113.9", 403), (true, "X-Forwarded-For: 127.0.0.1", 200),
            (true, "X-Other: 1", 403), (false, "X-Forwarded-For: 203.0.113.9", 200),
        ] {
            let path = TestPaths.makeTemporaryDirectory() + "/socket"
            let loop = try EventLoop(name: "server")
            var configuration = HTTPServerConfiguration()
            configuration.socketPath = path
            configuration.proxies = TrustedProxies(unixSockets: isNamed)
            var router = Router()
            routes(&router)
            let server = try await HTTPServer(
                configuration,
                router: router,
                loops: [loop],
                logger: TestServer.logger
            )
            let answer = try await withLoop { loop in
                let client = TestClient(
                    try await ByteStream.connect(path: path, on: loop, deadline: TestServer.patience)
                )
                defer { client.close() }
                try await client.send("GET /read HTTP/1.1\r\nHost: localhost\r\n\(field)\r\n\r\n")
                return try await client.answer()
            }
            #expect(answer.status == status, "\(isNamed) \(field)")
            await server.drain(deadline: .now())
            loop.stop()
        }
    }

    @Test func `have as many connections as they need`() async throws {
        try await withServer({
            $0.proxies = Self.loopback
            $0.limits.connectionsPerAddressMax = 1
        }) { server in
            let clients = try await server.connectTogether(5)
            for client in clients {
                try await client.send("GET /ok HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n")
                #expect(try await client.answer().status == 200)
            }
            for client in clients { client.close() }
        }
    }

    @Test func `stand beside their clients in the access log`() async throws {
        let book = LogBook()
        try await withServer({
            $0.proxies = Self.loopback
            $0.access = AccessControl(isOpen: true)
            $0.accessLog = AccessLog(book.logger, every: 1)
        }) { server in
            _ = try await Self.ask(server, "/ok", ["X-Forwarded-For: 203.0.113.9"])
            await server.server.drain(deadline: TestServer.patience)
        }
        let line = try #require(book.lines.first)
        #expect(line["peer"] == "203.0.113.9")
        #expect(line["proxy"]?.hasPrefix("127.0.0.1:") == true)
    }
}
