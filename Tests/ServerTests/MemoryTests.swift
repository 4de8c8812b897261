import HTTP
import Reactor
import Server
import Synchronization
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct `Memory for requests` {
    private static func post(_ path: String, _ fields: String...) -> String {
        "POST \(path) HTTP/1.1\r\nHost: x\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
    }

    private static let closing = "GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    @Test func `refuses a body that it has no room for before it is read`() async throws {
        let metrics = RecordingMetrics()
        try await withServer({ configuration in
            configuration.limits.bufferedBytesMax = 64 << 10
            configuration.metrics = metrics
        }) { server in
            let answers = try await server.exchange(
                Self.post("/echo", "Expect: 100-continue", "Content-Length: 100000")
            )
            // No 100: nobody has asked for the body.
            #expect(answers.map(\.status) == [503])
            #expect(answers.first?.member("code") == "overloaded")
            #expect(answers.first?["retry-after"] == "1")
            #expect(answers.first?.closes == true)
            #expect(metrics.reached("buffered_bytes") == 1)
        }
    }

    @Test func `refuses a body that outgrows it`() async throws {
        var body: [UInt8] = []
        for _ in 0..<25 { ResponseChunk.append([UInt8](repeating: 0x61, count: 4_000), to: &body) }
        ResponseChunk.appendEnd(to: &body)
        let sent = body
        try await withServer({ $0.limits.bufferedBytesMax = 64 << 10 }) { server in
            let answers = try await server.exchange(
                Self.post("/echo", "Transfer-Encoding: chunked"),
                body: sent
            )
            #expect(answers.map(\.status) == [503])
            #expect(answers.first?.closes == true)
        }
    }

    /// The body is out of the way, and so the next request is answered.
    @Test func `refuses what inflates beyond it, and the connection goes on`() async throws {
        let packed = Deflater.compress([UInt8](repeating: 0x61, count: 90_000), .gzip)
        let head = Self.post("/echo", "Content-Encoding: gzip", "Content-Length: \(packed.count)")
        try await withServer({ $0.limits.bufferedBytesMax = 64 << 10 }) { server in
            let answers = try await server.exchange(
                "",
                body: Array(head.utf8) + packed + Array(Self.closing.utf8)
            )
            #expect(answers.map(\.status) == [503, 200])
        }
    }

    @Test func `is shared by all connections, and has room again after the answer`() async throws {
        let began = Event()
        try await withServer(
            { $0.limits.bufferedBytesMax = 128 << 10 },
            routes: { router in
                router.add(.post, "/held", for: .anyone) { request, body in
                    began.happen()
                    do throws(BodyError) {
                        return Response(bytes: try await body.collect(atMost: 100_000))
                    } catch {
                        return request.problem(error)
                    }
                }
            }
        ) { server in
            let body = [UInt8](repeating: 0x61, count: 70_000)
            let request = Array(Self.post("/held", "Content-Length: \(body.count)").utf8)
            let (first, second) = (try await server.connect(), try await server.connect())
            defer {
                first.close()
                second.close()
            }
            try await first.send(request + body.dropLast())
            await began.happened()
            try await second.send(request)
            #expect(try await second.answer().status == 503)

            try await first.send([0x61])
            #expect(try await first.answer().body == body)
            let third = try await server.connect()
            defer { third.close() }
            try await third.send(request + body)
            #expect(try await third.answer().status == 200)
        }
    }

    /// Without large reads, which would need a larger buffer.
    @Test func `lets bodies be streamed when there is none to spare`() async throws {
        let load = ServerLoad()
        let largest = Mutex(0)
        let body = [UInt8](repeating: 0x61, count: 1_000_000)
        try await withServer(
            { configuration in
                configuration.limits.bufferedBytesMax = 40_000
                configuration.load = load
            },
            routes: { router in
                router.add(.post, "/watched", for: .anyone) { _, body in
                    var buffer: [UInt8] = []
                    var count = 0
                    while (try? await body.next(into: &buffer)) == true {
                        largest.withLock { $0 = max($0, load.bufferedBytes) }
                        count += buffer.count
                        buffer.removeAll(keepingCapacity: true)
                    }
                    return Response(bytes: Array("\(count)".utf8))
                }
            }
        ) { server in
            let answers = try await server.exchange(
                Self.post("/watched", "Connection: close", "Content-Length: \(body.count)"),
                body: body
            )
            #expect(answers.map(\.text) == ["1000000"])
            #expect(1...40_000 ~= largest.withLock { $0 })
        }
    }

    /// Every way in which a request can end before its time.
    @Test func `is given back by connections that break off, wherever they are`() async throws {
        let load = ServerLoad()
        try await withServer(
            { $0.load = load },
            routes: { router in
                router.add(.get, "/large", for: .anyone) { _, _ in
                    Response(contentType: "text/plain", bytes: [UInt8](repeating: 0x61, count: 32 << 20))
                }
                router.add(.get, "/endless", for: .anyone) { _, _ in
                    Response(contentType: "text/plain") { writer throws(StreamError) in
                        while true { try await writer.write([UInt8](repeating: 0x61, count: 64 << 10)) }
                    }
                }
            }
        ) { server in
            let half = [UInt8](repeating: 0x61, count: 40_000)
            let requests = [
                Array("GET /ok HTTP/1.1\r\nHo".utf8),
                Array(Self.post("/echo", "Content-Length: 80000").utf8) + half,
                Array(Self.post("/count", "Content-Length: 8000000").utf8) + half,
                Array((Self.post("/echo", "Transfer-Encoding: chunked") + "9C40\r\n").utf8) + half,
                Array(Self.post("/echo", "Content-Encoding: gzip", "Content-Length: 80000").utf8)
                    + Deflater.compress(half, .gzip),
                Array("GET /large HTTP/1.1\r\nHost: x\r\n\r\n".utf8),
                Array("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n".utf8),
                Array("NONSENSE\r\n\r\n".utf8) + half,
                Array(Self.post("/echo", "Content-Length: 8000000").utf8) + half,
                Array(Self.closing.utf8), Array("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n".utf8), [],
            ]
            var clients: [TestClient] = []
            for request in requests {
                let client = try await server.connect()
                clients.append(client)
                try await client.send(request)
            }
            // More than the kernel takes of an answer that nobody reads, and than all others hold together.
            let isFull = await eventually { load.bufferedBytes > 8 << 20 }
            #expect(isFull)
            for client in clients { client.close() }

            let isEmpty = await eventually { load.openConnections == 0 && load.bufferedBytes == 0 }
            #expect(isEmpty, "\(load.openConnections) connections, \(load.bufferedBytes) bytes")
        }
    }

    @Test func `is given back by a connection that goes idle, and by one that is drained`() async throws {
        let load = ServerLoad()
        try await withServer(
            { $0.load = load },
            routes: { router in
                router.add(.get, "/load", for: .anyone) { _, _ in
                    Response(bytes: Array("\(load.bufferedBytes)".utf8))
                }
            }
        ) { server in
            let (idle, stuck) = (try await server.connect(), try await server.connect())
            defer {
                idle.close()
                stuck.close()
            }
            // The second request finds nothing left of the first one's body.
            let body = [UInt8](repeating: 0x61, count: 60_000)
            try await idle.send(Array(Self.post("/echo", "Content-Length: \(body.count)").utf8) + body)
            #expect(try await idle.answer().body == body)
            let isIdle = await eventually { load.bufferedBytes == 0 }
            #expect(isIdle)
            try await idle.send("GET /load HTTP/1.1\r\nHost: x\r\n\r\n")
            let held = Int(try await idle.answer().text) ?? 0
            #expect(1...20_000 ~= held)
            let isEmpty = await eventually { load.bufferedBytes == 0 }
            #expect(isEmpty)

            try await stuck.send(Self.post("/echo", "Content-Length: 80000") + "some")
            let isHeld = await eventually { load.bufferedBytes > 80_000 }
            #expect(isHeld)
            await server.server.drain(deadline: .now())
            #expect(load.bufferedBytes == 0)
            #expect(load.openConnections == 0)
        }
    }
}

/// Lets the loop turn until `condition` holds; `false` when it never does.
func eventually(_ condition: () -> Bool) async -> Bool {
    let patience = TestServer.patience
    while !condition() {
        if Deadline.now() > patience { return false }
        await Task.yield()
    }
    return true
}
