import Glibc
import HTTP
import Reactor
import Server
import Testing

@Suite(.timeLimit(.minutes(2))) struct Connections {
    private static let get = "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"

    // MARK: Streamed answers

    @Test func `carry streamed answers in chunks and go on`() async throws {
        try await withServer { server in
            let client = try await server.connect()
            defer { client.close() }
            for _ in 0..<3 {
                try await client.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n" + Self.get)
                let answer = try await client.answer()
                #expect(answer["transfer-encoding"] == "chunked")
                #expect(answer["content-length"] == nil)
                #expect(answer.text == "piece 0\npiece 1\npiece 2\n")
                #expect(try await client.answer().text == "{}")
            }
        }
    }

    /// The handler gets no further than the socket's buffers while nobody reads.
    @Test func `make a streamed answer wait for a slow reader`() async throws {
        let pieces = 400
        let piece = [UInt8](repeating: 0x61, count: 64 << 10)
        let isFirstWritten = Event()
        let isAllWritten = Counter()
        try await withServer(routes: { router in
            router.add(.get, "/large", for: .anyone) { _, _ in
                Response(contentType: "text/plain") { writer throws(StreamError) in
                    for _ in 0..<pieces {
                        try await writer.write(piece)
                        isAllWritten.add(1)
                        isFirstWritten.happen()
                    }
                }
            }
        }) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            await isFirstWritten.happened()
            // Another connection's requests are answered in the meantime, on the same loop.
            for _ in 0..<50 {
                let answers = try await server.exchange(
                    "GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                )
                #expect(answers.map(\.text) == ["{}"])
            }
            #expect(isAllWritten.value < pieces)

            #expect(try await client.answer().body.count == pieces * piece.count)
            #expect(isAllWritten.value == pieces)
        }
    }

    @Test func `end within a streamed answer whose handler gives up`() async throws {
        try await withServer(routes: { router in
            router.add(.get, "/broken", for: .anyone) { _, _ in
                Response(contentType: "text/plain") { writer throws(StreamError) in
                    try await writer.write(Array("half".utf8))
                    throw .closed
                }
            }
        }) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send("GET /broken HTTP/1.1\r\nHost: x\r\n\r\n" + Self.get)
            let text = try await client.untilEnd()
            // No last chunk: the client can tell that it is not all.
            #expect(text.hasSuffix("\r\n\r\n4\r\nhalf\r\n"))
        }
    }

    @Test func `end when nobody reads the answer`() async throws {
        let ended = Event()
        let metrics = RecordingMetrics()
        try await withServer(
            { configuration in
                configuration.limits.writeTimeout = .milliseconds(20)
                configuration.metrics = metrics
            },
            routes: { router in
                router.add(.get, "/endless", for: .anyone) { _, _ in
                    Response(contentType: "text/plain") { writer throws(StreamError) in
                        defer { ended.happen() }
                        while true { try await writer.write([UInt8](repeating: 0x61, count: 64 << 10)) }
                    }
                }
            }
        ) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await ended.happens(on: server.loop))
            #expect(metrics.reached("write_timeout") == 1)
        }
    }

    // MARK: Deadlines

    @Test func `end with 408 when a head does not arrive in time`() async throws {
        try await withServer({ configuration in
            configuration.limits.headTimeout = .milliseconds(20)
        }) { server in
            let answers = try await server.exchange(Self.get + "GET /ok HTTP/1.1\r\nHost:")
            #expect(answers.map(\.status) == [200, 408])
            #expect(answers.count > 1 && answers[1].closes)
            #expect(answers.last?.member("code") == "request_timeout")
        }
    }

    @Test func `end with 408 when a body makes no progress`() async throws {
        try await withServer({ configuration in
            configuration.limits.bodyProgressTimeout = .milliseconds(20)
        }) { server in
            let answers = try await server.exchange(
                "POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nbody"
            )
            #expect(answers.map(\.status) == [408])
            #expect(answers.first?.closes == true)
        }
    }

    /// No time at all for what has not come with the head, unless it is streamed.
    @Test func `end with 408 when a body that is held whole takes too long in all`() async throws {
        let began = Event()
        try await withServer(
            { configuration in
                configuration.limits.requestTimeout = .zero
                configuration.limits.bodyProgressTimeout = .seconds(1_000)
            },
            routes: { router in
                router.add(.post, "/streamed", for: .anyone) { _, body in
                    var buffer: [UInt8] = []
                    while (try? await body.next(into: &buffer)) == true { began.happen() }
                    return Response(bytes: buffer)
                }
            }
        ) { server in
            let head = "HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n"
            let answers = try await server.exchange("POST /echo \(head)all here" + "POST /echo \(head)half")
            #expect(answers.map(\.status) == [200, 408])
            #expect(answers.last?.member("code") == "request_timeout")
            #expect(answers.last?.closes == true)

            let client = try await server.connect()
            defer { client.close() }
            try await client.send("POST /streamed \(head)half")
            #expect(await began.happens(on: server.loop))
            try await client.send("half")
            #expect(try await client.answer().text == "halfhalf")
        }
    }

    /// Each byte comes well within the time for progress; together they are too slow.
    @Test func `end with 408 when a body drips`() async throws {
        try await withServer({ configuration in
            configuration.limits.bodyProgressTimeout = .milliseconds(100)
            configuration.limits.bodyBytesPerSecondMin = 1 << 30
        }) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send("POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
            let stream = client.stream
            let dripping = Task(executorPreference: server.loop) {
                do throws(StreamError) {
                    while true {
                        try await stream.write([0x61], deadline: .never)
                        await server.loop.sleep(for: .milliseconds(2))
                    }
                } catch {
                    return
                }
            }
            let answer = try await client.answer()
            #expect(answer.status == 408)
            client.close()
            await dripping.value
        }
    }

    @Test func `end silently when they are idle for too long`() async throws {
        try await withServer({ configuration in
            configuration.limits.idleTimeout = .milliseconds(20)
        }) { server in
            let silent = try await server.connect()
            defer { silent.close() }
            #expect(try await silent.untilEnd().isEmpty)
        }
    }

    // MARK: Limits

    @Test func `beyond the limit get 503, and room again when one ends`() async throws {
        let metrics = RecordingMetrics()
        try await withServer({ configuration in
            configuration.limits.connectionsMax = 3
            configuration.metrics = metrics
        }) { server in
            let clients = try await server.connectTogether(8)
            defer { for client in clients { client.close() } }
            var refused = 0
            var served: [TestClient] = []
            for client in clients {
                try? await client.send(Self.get)
                let answer = try await client.answer()
                if answer.status == 200 { served.append(client) }
                if answer.status == 503 {
                    refused += 1
                    #expect(answer["retry-after"] == "1")
                    #expect(answer.member("code") == "too_many_connections")
                    #expect(answer.member("request_id") == answer["x-request-id"])
                    #expect(try await client.untilEnd().isEmpty)
                }
            }
            #expect(served.count == 3)
            #expect(refused == 5)
            #expect(metrics.reached("connections") == 5)

            served[0].close()
            #expect(try await server.comesIn())
        }
    }

    @Test(.enabled(if: outsideAddress != nil)) func `from other machines get 403 unless they are let in`()
        async throws
    {
        let host = try #require(outsideAddress)
        for isOpen in [false, true] {
            try await withServer({ configuration in
                configuration.host = "0.0.0.0"
                configuration.access = AccessControl(isOpen: isOpen)
            }) { server in
                let client = try await server.connect(to: host)
                defer { client.close() }
                try await client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
                let answer = try await client.answer()
                #expect(answer.status == (isOpen ? 200 : 403))
                if !isOpen { #expect(answer.member("code") == "loopback_only") }

                let local = try await server.connect()
                defer { local.close() }
                try await local.send(Self.get)
                #expect(try await local.answer().status == 200)
            }
        }
    }

    @Test func `are accepted again once descriptors are free`() async throws {
        // In a process of its own: the limit holds for all of it.
        await #expect(processExitsWith: .success) {
            try await withServer { server in
                let client = try await server.connect()
                try await client.send(Self.get)
                #expect(try await client.answer().status == 200)
                var limit = rlimit()
                getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                var spare: [CInt] = []
                limit.rlim_cur = 64
                setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                while true {
                    let copy = dup(0)
                    if copy < 0 { break }
                    spare.append(copy)
                }
                // One for the client's end, none for the server's.
                if let one = spare.popLast() { close(one) }
                let late = try await server.connect()
                try await late.send(Self.get)
                // The first connection still works.
                try await client.send(Self.get)
                #expect(try await client.answer().status == 200)
                for copy in spare { close(copy) }

                #expect(try await late.answer().status == 200)
                late.close()
                client.close()
            }
        }
    }
}
