import HTTP
import Logging
import Reactor
import Server
import Synchronization
import TestSupport
import Testing

/// A real server on a loopback port of its own, on the test's loop.
struct TestServer: Sendable {
    let server: HTTPServer
    let loop: EventLoop

    /// How long a test waits for anything: far longer than it takes, so that only a hang ends it.
    static var patience: Deadline { .after(.seconds(40)) }

    static let logger: Logger = {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }()

    /// Connects a client.
    func connect(to host: String = "127.0.0.1") async throws -> TestClient {
        let stream = try await ByteStream.connect(
            host: host,
            port: server.address.port,
            on: loop,
            deadline: Self.patience
        )
        return TestClient(stream)
    }

    /// Connects clients together: all wait to be accepted before the first of them is.
    func connectTogether(_ count: Int) async throws -> [TestClient] {
        let tasks = (0..<count).map { _ in
            Task(executorPreference: loop) {
                try await ByteStream.connect(
                    host: "127.0.0.1",
                    port: server.address.port,
                    on: loop,
                    deadline: Self.patience
                )
            }
        }
        var clients: [TestClient] = []
        for task in tasks { clients.append(TestClient(try await task.value)) }
        return clients
    }

    /// Sends one request on a connection of its own, which the request has closed, and returns all answers.
    func exchange(_ request: String, body: [UInt8] = []) async throws -> [Answer] {
        let client = try await connect()
        defer { client.close() }
        try await client.send(Array(request.utf8) + body)
        return try await client.answersToEnd()
    }
}

/// Starts a server with the test routes, runs `body` on its loop, and drains it.
func withServer(
    _ configure: @escaping @Sendable (inout HTTPServerConfiguration) -> Void = { _ in },
    routes: @escaping @Sendable (inout Router) -> Void = { _ in },
    _ body: @escaping @Sendable (TestServer) async throws -> Void
) async throws {
    try await withLoop { loop in
        var configuration = HTTPServerConfiguration()
        configuration.port = 0
        configure(&configuration)
        var router = Router()
        TestRoutes.add(to: &router)
        routes(&router)
        let server = try await HTTPServer(
            configuration,
            router: router,
            loops: [loop],
            logger: TestServer.logger
        )
        // Also after a failure: the loop ends with no connection left on it.
        let outcome: Result<Void, any Error>
        do {
            try await body(TestServer(server: server, loop: loop))
            outcome = .success(())
        } catch {
            outcome = .failure(error)
        }
        await server.drain(deadline: .now())
        try outcome.get()
    }
}

/// What the tests ask for.
enum TestRoutes {
    static func add(to router: inout Router) {
        router.add(.get, "/ok", for: .anyone) { _, _ in Response(bytes: Array("{}".utf8)) }
        router.add(.get, "/id", for: .anyone) { request, _ in
            Response(contentType: "text/plain", bytes: Array(request.id.utf8))
        }
        router.add(.get, "/things/{id}", for: .anyone) { request, _ in
            Response(contentType: "text/plain", bytes: Array("thing \(request.parameters["id"] ?? "")".utf8))
        }
        router.add(.put, "/things/{id}", for: .anyone) { request, _ in Response(bytes: Array("{}".utf8)) }
        router.add(.post, "/unread", for: .anyone) { _, _ in Response(bytes: Array("unread".utf8)) }
        router.add(.post, "/fail", for: .anyone) { request, _ in
            request.problem(422, "no_good", "Not like this.")
        }
        router.add(.post, "/echo", for: .anyone) { request, body in
            do throws(BodyError) {
                return Response(contentType: "text/plain", bytes: try await body.collect(atMost: 100_000))
            } catch {
                return request.problem(error)
            }
        }
        router.add(.post, "/count", for: .anyone) { request, body in
            var count = 0
            var buffer: [UInt8] = []
            do throws(BodyError) {
                while try await body.next(into: &buffer) {
                    count += buffer.count
                    buffer.removeAll(keepingCapacity: true)
                }
            } catch {
                return request.problem(error)
            }
            return Response(contentType: "text/plain", bytes: Array("\(count)".utf8))
        }
        router.add(.get, "/stream", for: .anyone) { _, _ in
            Response(contentType: "text/plain") { writer throws(StreamError) in
                for number in 0..<3 { try await writer.write(Array("piece \(number)\n".utf8)) }
            }
        }
    }
}

/// Something that happens once, and those who wait for it.
final class Event: Sendable {
    private struct State {
        var hasHappened = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func happen() {
        state.withLock { $0.hasHappened = true }
        resumeAll()
    }

    /// Whether it happens at all, for what a mistake could put off without end.
    func happens(on loop: EventLoop) async -> Bool {
        let giveUp = Task(executorPreference: loop) {
            await loop.sleep(until: TestServer.patience)
            self.resumeAll()
        }
        await happened()
        giveUp.cancel()
        return state.withLock { $0.hasHappened }
    }

    private func resumeAll() {
        let waiters = state.withLock { state in
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    func happened() async {
        await withCheckedContinuation { waiter in
            let isOver = state.withLock { state in
                if !state.hasHappened { state.waiters.append(waiter) }
                return state.hasHappened
            }
            if isOver { waiter.resume() }
        }
    }
}
