import HTTP
import Reactor
import Server
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct `A stream of events` {
    private static let get = "GET /events HTTP/1.1\r\nHost: x\r\n\r\n"
    private static let end = "\r\n0\r\n\r\n"

    private static func event(_ text: String) -> [UInt8] {
        var event: [UInt8] = []
        ServerSentEvent.append(data: Array(text.utf8).span, to: &event)
        return event
    }

    private static func with(
        _ hub: EventHub,
        _ configure: @escaping @Sendable (inout HTTPServerConfiguration) -> Void = { _ in },
        _ body: @escaping @Sendable (TestServer) async throws -> Void
    ) async throws {
        try await withServer(
            configure,
            routes: { router in
                router.add(.get, "/events", for: .anyone) { request, _ in
                    hub.listen().map { Response(events: $0) } ?? request.problem(503, "overloaded", "Full.")
                }
            },
            body
        )
    }

    /// Waits until so many listen; what happens does so within a few turns of the loop.
    private static func expect(_ count: Int, of hub: EventHub, on loop: EventLoop) async {
        let patience = TestServer.patience
        while hub.listeners != count, Deadline.now() < patience { await loop.sleep(for: .milliseconds(1)) }
        #expect(hub.listeners == count)
    }

    @Test func `brings each event to everybody who listens, in order`() async throws {
        let hub = EventHub(listenersMax: 10, queuedMax: 100)
        try await Self.with(hub) { server in
            var clients: [TestClient] = []
            for _ in 0..<3 {
                let client = try await server.connect()
                clients.append(client)
                try await client.send(Self.get)
                let head = try await client.receive(through: "\r\n\r\n")
                #expect(head.contains("\r\nContent-Type: text/event-stream\r\n"))
                #expect(head.contains("\r\nCache-Control: no-store\r\n"))
            }
            for number in 1...3 { hub.send(Self.event("news \(number)")) }
            for client in clients {
                let text = try await client.receive(through: "news 3\n\n")
                let data = text.matches(of: /data: (.*)\n\n/).map { String($0.1) }
                #expect(data == ["news 1", "news 2", "news 3"])
            }
            hub.send(Self.event("more"))
            for client in clients {
                _ = try await client.receive(through: "data: more\n\n")
                client.close()
            }
        }
    }

    @Test func `is not compressed`() async throws {
        let hub = EventHub(listenersMax: 1, queuedMax: 1)
        try await Self.with(hub) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send("GET /events HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
            #expect(try await !client.receive(through: "\r\n\r\n").contains("Content-Encoding"))
        }
    }

    @Test func `shows with comments that it lives while there are no events`() async throws {
        let hub = EventHub(listenersMax: 1, queuedMax: 1)
        try await Self.with(hub, { $0.limits.heartbeatInterval = .milliseconds(1) }) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send(Self.get)
            for _ in 0..<3 { _ = try await client.receive(through: ": \n\n") }
            hub.send(Self.event("at last"))
            _ = try await client.receive(through: "data: at last\n\n")
        }
    }

    @Test func `ends at once when the client leaves, also while it is silent`() async throws {
        let hub = EventHub(listenersMax: 2, queuedMax: 1)
        try await Self.with(hub, { $0.limits.heartbeatInterval = .seconds(1_000) }) { server in
            let client = try await server.connect()
            let other = try await server.connect()
            defer { other.close() }
            for client in [client, other] {
                try await client.send(Self.get)
                _ = try await client.receive(through: "\r\n\r\n")
            }
            await Self.expect(2, of: hub, on: server.loop)
            client.close()
            await Self.expect(1, of: hub, on: server.loop)
            // Only its half: whoever says that it is done has left.
            other.stream.shutdownWrites()
            await Self.expect(0, of: hub, on: server.loop)
        }
    }

    @Test func `ends with its last chunk when the server drains`() async throws {
        let hub = EventHub(listenersMax: 1, queuedMax: 1)
        try await Self.with(hub, { $0.limits.heartbeatInterval = .seconds(1_000) }) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send(Self.get)
            _ = try await client.receive(through: "\r\n\r\n")
            hub.send(Self.event("news"))
            _ = try await client.receive(through: "data: news\n\n")

            // Far away: it ends without being cut off.
            await server.server.drain(deadline: .after(.seconds(1_000)))

            #expect(try await client.untilEnd() == Self.end)
            #expect(hub.listeners == 0)
        }
    }

    @Test func `is cut off when the client does not read, and loses the oldest events before that`()
        async throws
    {
        let hub = EventHub(listenersMax: 1, queuedMax: 2)
        let metrics = RecordingMetrics()
        try await Self.with(
            hub,
            {
                $0.limits.writeTimeout = .milliseconds(20)
                $0.metrics = metrics
            }
        ) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send(Self.get)
            _ = try await client.receive(through: "\r\n\r\n")
            let large = Self.event(String(repeating: "x", count: 1 << 20))
            let patience = TestServer.patience
            // Until the kernel's buffers are full; more than two events never wait here.
            while hub.listeners > 0, Deadline.now() < patience {
                hub.send(large)
                await server.loop.sleep(for: .milliseconds(1))
            }
            #expect(hub.listeners == 0)
            #expect(metrics.reached("write_timeout") == 1)
        }
    }

    @Test func `goes on when the next request comes, and ends when more come than a head`() async throws {
        let hub = EventHub(listenersMax: 1, queuedMax: 1)
        try await Self.with(hub) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send(Self.get + "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
            _ = try await client.receive(through: "\r\n\r\n")
            hub.send(Self.event("news"))
            _ = try await client.receive(through: "data: news\n\n")
            try await client.send([UInt8](repeating: 120, count: HTTPLimits().headBytesMax + 1))
            await Self.expect(0, of: hub, on: server.loop)
        }
    }

    @Test func `has room for so many listeners, and for another when one ends`() async throws {
        let hub = EventHub(listenersMax: 1, queuedMax: 1)
        try await Self.with(hub) { server in
            let client = try await server.connect()
            try await client.send(Self.get)
            _ = try await client.receive(through: "\r\n\r\n")
            let other = try await server.connect()
            defer { other.close() }
            try await other.send(Self.get)
            #expect(try await other.answer().status == 503)
            client.close()
            await Self.expect(0, of: hub, on: server.loop)
            // An answer without a body gives its place back, too.
            try await other.send("HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await other.answer(isHead: true).status == 200)
            await Self.expect(0, of: hub, on: server.loop)
            try await other.send(Self.get)
            #expect(try await other.receive(through: "\r\n\r\n").contains(" 200 "))
        }
    }
}

@Suite struct `A queue of events` {
    @Test func `keeps the newest in order, and says once that there are some`() {
        let queue = EventQueue(countMax: 2)
        for byte: UInt8 in 1...3 { queue.put([byte]) }
        #expect(queue.take() == [[2], [3]])
        #expect(queue.isEmpty && queue.take().isEmpty)
    }
}
