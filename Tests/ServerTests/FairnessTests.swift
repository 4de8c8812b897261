import HTTP
import Reactor
import Server
import Synchronization
import Testing

/// What was done, in order.
private final class Order: Sendable {
    private let done = Mutex<[String]>([])

    func note(_ what: String) { done.withLock { $0.append(what) } }

    var all: [String] { done.withLock { $0 } }
}

@Suite(.timeLimit(.minutes(2))) struct `The loop's time` {
    private static func head(_ line: String, _ fields: String...) -> String {
        "\(line) HTTP/1.1\r\nHost: x\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
    }

    /// A server that notes which paths it has answered, and two clients that it knows.
    private static func withTwo(
        _ body: @escaping @Sendable (Order, TestClient, TestClient) async throws -> Void
    ) async throws {
        let order = Order()
        try await withServer(routes: { router in
            router.add(.get, "/note/{what}", for: .anyone) { request, _ in
                order.note(request.parameters["what"] ?? "")
                return Response(bytes: [])
            }
            router.add(.post, "/inflate", for: .anyone) { request, body in
                var buffer: [UInt8] = []
                while (try? await body.next(into: &buffer)) == true {
                    buffer.removeAll(keepingCapacity: true)
                }
                order.note("inflated")
                return Response(bytes: [])
            }
        }) { server in
            let (greedy, other) = (try await server.connect(), try await server.connect())
            defer {
                greedy.close()
                other.close()
            }
            for client in [greedy, other] {
                try await client.send(Self.head("GET /ok"))
                #expect(try await client.answer().status == 200)
            }
            try await body(order, greedy, other)
        }
    }

    @Test func `is not all for a client that pipelines without end`() async throws {
        try await Self.withTwo { order, greedy, other in
            // Both wait in the kernel before the loop turns; the greedy one comes first.
            let count = 1_000
            try await greedy.send(String(repeating: Self.head("GET /note/greedy"), count: count))
            try await other.send(Self.head("GET /note/other"))
            _ = try await other.answer()

            let before = try #require(order.all.firstIndex(of: "other"))
            #expect(before <= 2 * HTTPLimits().pipelinedMax, "others had \(before) answers first")
            for _ in 0..<count { #expect(try await greedy.answer().status == 200) }
        }
    }

    @Test func `is not all for a body that inflates to a multiple of what was sent`() async throws {
        try await Self.withTwo { order, greedy, other in
            let body = Deflater.compress([UInt8](repeating: 0x20, count: 16 << 20), .gzip, level: 1)
            try #require(body.count < 1 << 17, "it fits into a socket")
            let head = Self.head(
                "POST /inflate",
                "Content-Encoding: gzip",
                "Content-Length: \(body.count)"
            )
            try await greedy.send(Array(head.utf8) + body)
            try await other.send(Self.head("GET /note/other"))
            _ = try await other.answer()
            _ = try await greedy.answer()

            #expect(order.all == ["other", "inflated"])
        }
    }

    /// Members of gzip that hold nothing: much to read, and never a byte for the handler.
    @Test func `is not all for a body that inflates to nothing`() async throws {
        try await Self.withTwo { order, greedy, other in
            let empty = Deflater.compress([], .gzip)
            let body = [UInt8](repeatElement(empty, count: 20_000).joined())
            let fields = ["Content-Encoding: gzip", "Content-Length: \(body.count)"]
            try await greedy.send(Array(Self.head("POST /inflate", fields[0], fields[1]).utf8) + body)
            try await other.send(Self.head("GET /note/other"))
            _ = try await other.answer()
            #expect(try await greedy.answer().status == 200)
            #expect(order.all == ["other", "inflated"])
        }
    }
}

@Suite(.timeLimit(.minutes(2))) struct `An idle connection` {
    private static let get = "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"

    /// Lets the connections of the test's loop fall asleep, which takes them a turn or two.
    private static func fallAsleep(_ loop: EventLoop) async {
        for _ in 0..<10 { await loop.nextTurn() }
    }

    @Test func `wakes up for a request, however it comes`() async throws {
        try await withServer({ $0.limits.napTimeout = .zero }) { server in
            let client = try await server.connect()
            defer { client.close() }
            for _ in 0..<3 {
                await Self.fallAsleep(server.loop)
                try await client.send(Self.get)
                #expect(try await client.answer().status == 200)
                await Self.fallAsleep(server.loop)
                for byte in Self.get.utf8 {
                    try await client.send([byte])
                    await server.loop.nextTurn()
                }
                #expect(try await client.answer().status == 200)
            }
        }
    }

    @Test func `ends at its idle timeout, when the client goes and when the server stops`() async throws {
        let metrics = RecordingMetrics()
        let load = ServerLoad()
        try await withServer({
            $0.metrics = metrics
            $0.load = load
            $0.limits.napTimeout = .zero
            $0.limits.idleTimeout = .milliseconds(50)
        }) { server in
            let silent = try await server.connect()
            defer { silent.close() }
            #expect(try await silent.untilEnd().isEmpty)
            #expect(metrics.reached("idle_timeout") == 1)
        }
        try await withServer({
            $0.load = load
            $0.limits.napTimeout = .zero
            $0.limits.idleTimeout = .seconds(1_000)
        }) { server in
            let (gone, kept) = (try await server.connect(), try await server.connect())
            defer { kept.close() }
            for client in [gone, kept] {
                try await client.send(Self.get)
                #expect(try await client.answer().status == 200)
            }
            await Self.fallAsleep(server.loop)
            gone.close()
            let isGone = await eventually { load.openConnections == 1 }
            #expect(isGone)

            await server.server.drain(deadline: .after(.seconds(1_000)))

            #expect(try await kept.untilEnd().isEmpty)
            #expect(load.openConnections == 0)
        }
    }

    @Test(arguments: [Duration.zero, .seconds(1_000)])
    func `is still answered what it has sent when the server stops`(nap: Duration) async throws {
        try await withServer({ $0.limits.napTimeout = nap }) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send(Self.get)
            #expect(try await client.answer().status == 200)
            await Self.fallAsleep(server.loop)
            // In the kernel, and the loop has not heard of it.
            try await client.send(Self.get)

            await server.server.drain(deadline: .after(.seconds(1_000)))

            let answers = try await client.answersToEnd()
            #expect(answers.map(\.status) == [200])
            #expect(answers.first?.closes == true)
        }
    }
}
