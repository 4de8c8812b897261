import HTTP
import Reactor
import Server
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct Draining {
    private static let get = "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"
    private static let slow = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"

    /// Adds a handler that begins, waits, and answers.
    private static func addSlow(to router: inout Router, began: Event, gate: Event) {
        router.add(.get, "/slow", for: .anyone) { _, _ in
            began.happen()
            await gate.happened()
            return Response(bytes: Array("done".utf8))
        }
    }

    @Test func `closes idle connections at once and refuses new ones`() async throws {
        try await withServer { server in
            let used = try await server.connect()
            let fresh = try await server.connect()
            defer {
                used.close()
                fresh.close()
            }
            try await used.send(Self.get)
            #expect(try await used.answer().status == 200)
            // Accepted after it, in the order of their arrival.
            try await used.send(Self.get)
            #expect(try await used.answer().status == 200)

            // Far away: what ends here ends without it.
            await server.server.drain(deadline: .after(.seconds(1_000)))

            #expect(try await used.untilEnd().isEmpty)
            #expect(try await fresh.untilEnd().isEmpty)
            await #expect(throws: StreamError.self) { _ = try await server.connect() }
        }
    }

    @Test func `answers what is under way, says so, and closes`() async throws {
        let (began, gate) = (Event(), Event())
        try await withServer(routes: { Self.addSlow(to: &$0, began: began, gate: gate) }) { server in
            let client = try await server.connect()
            defer { client.close() }
            // What is pipelined behind it was not begun and is not answered: the client sends it again.
            try await client.send(Self.slow + Self.get)
            await began.happened()
            let draining = Task(executorPreference: server.loop) {
                await server.server.drain(deadline: .after(.seconds(1_000)))
            }
            // The listener closes first; then the drain is on.
            while let other = try? await server.connect() { other.close() }
            gate.happen()

            let answers = try await client.answersToEnd()
            #expect(answers.map(\.text) == ["done"])
            #expect(answers.first?.closes == true)
            client.close()
            await draining.value
        }
    }

    @Test func `takes a request whose head has begun to arrive`() async throws {
        try await withServer({ $0.limits.headTimeout = .seconds(1_000) }) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send(Self.get + "GET /ok HTTP/1.1\r\n")
            #expect(try await client.answer().status == 200)
            let draining = Task(executorPreference: server.loop) {
                await server.server.drain(deadline: .after(.seconds(1_000)))
            }
            while let other = try? await server.connect() { other.close() }
            try await client.send("Host: x\r\n\r\n")

            let answers = try await client.answersToEnd()
            #expect(answers.map(\.status) == [200])
            #expect(answers.first?.closes == true)
            client.close()
            await draining.value
        }
    }

    @Test func `cuts off at its deadline what does not end`() async throws {
        let ended = Event()
        let metrics = RecordingMetrics()
        try await withServer(
            { $0.metrics = metrics },
            routes: { router in
                router.add(.post, "/stuck", for: .anyone) { _, body in
                    var buffer: [UInt8] = []
                    while (try? await body.next(into: &buffer)) == true {}
                    ended.happen()
                    return Response(bytes: [])
                }
            }
        ) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send(
                "POST /stuck HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
            )
            #expect(try await client.answer().status == 100)

            await server.server.drain(deadline: .after(.milliseconds(20)))

            await ended.happened()
            #expect(metrics.reached("drain_timeout") == 1)
            #expect(try await client.untilEnd().isEmpty)
        }
    }

    /// Connections that have been accepted in one go, and whose tasks have not run yet, belong to the drain.
    @Test func `waits for connections that have just been accepted`() async throws {
        for turns in 0..<20 {
            try await withServer { server in
                let clients = try await server.connectTogether(20)
                for _ in 0..<turns { await Task.yield() }
                // Far away: what the drain does not know of would go on without end.
                await server.server.drain(deadline: .after(.seconds(1_000)))
                // All are at their end, whether they were closed or reset.
                for client in clients {
                    _ = try? await client.untilEnd()
                    client.close()
                }
            }
        }
    }

    @Test func `may be asked for again`() async throws {
        try await withServer { server in
            await server.server.drain(deadline: .now())
            await server.server.drain(deadline: .now())
        }
    }
}

@Suite(.timeLimit(.minutes(2))) struct `Several loops` {
    @Test func `share the port, and run each handler on its connection's loop`() async throws {
        let loops = try (0..<3).map { try EventLoop(name: "server-\($0)") }
        let away = Counter()
        let served = loops.map { _ in Counter() }
        var router = Router()
        router.add(.post, "/where", for: .anyone) { request, body in
            let before = loops.firstIndex { $0.isCurrent }
            _ = try? await body.collect(atMost: 100)
            await Task.yield()
            let after = loops.firstIndex { $0.isCurrent }
            if let before, before == after { served[before].add(1) } else { away.add(1) }
            return Response(bytes: Array(request.id.utf8))
        }
        var configuration = HTTPServerConfiguration()
        configuration.port = 0
        let server = try await HTTPServer(
            configuration,
            router: router,
            loops: loops,
            logger: TestServer.logger
        )

        let ids = try await withLoop { loop in
            var ids: Set<String> = []
            for _ in 0..<200 {
                let client = try await TestServer(server: server, loop: loop).connect()
                defer { client.close() }
                try await client.send("POST /where HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
                try await client.send("body")
                ids.insert(try await client.answer().text)
            }
            return ids
        }

        #expect(ids.count == 200)
        #expect(away.value == 0)
        #expect(served.map(\.value).reduce(0, +) == 200)
        // By the kernel's hash of addresses: that one of three gets none of 200 is as likely as 1 in 10^35.
        #expect(served.allSatisfy { $0.value > 0 })
        await server.drain(deadline: .now())
        for loop in loops { loop.stop() }
    }

    @Test func `bound to a port that is taken are refused, all of them`() async throws {
        try await withServer { server in
            let loops = try (0..<2).map { try EventLoop(name: "server-\($0)") }
            var configuration = HTTPServerConfiguration()
            configuration.port = server.server.address.port
            await #expect(throws: SystemError.self) {
                _ = try await HTTPServer(
                    configuration,
                    router: Router(),
                    loops: loops,
                    logger: TestServer.logger
                )
            }
            for loop in loops { loop.stop() }
        }
    }
}
