import HTTP
import Reactor
import Server
import Synchronization
import TestSupport
import Testing

/// The failure that a debug build makes of what outlives its connection: each in a process of its own.
@Suite(.timeLimit(.minutes(2))) struct `What a connection leaves behind` {
    /// A server whose handler at `/` does that, one request, and the end.
    private static func serve(_ handler: @escaping @Sendable (EventLoop) async -> Void) async throws {
        let serving = try EventLoop(name: "server")
        var router = Router()
        router.add(.get, "/", for: .anyone) { _, _ in
            await handler(serving)
            return Response(bytes: [])
        }
        var configuration = HTTPServerConfiguration()
        configuration.port = 0
        let server = try await HTTPServer(
            configuration,
            router: router,
            loops: [serving],
            logger: TestServer.logger
        )
        _ = try await withLoop { loop in
            try await TestServer(server: server, loop: loop).exchange(
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
        }
        await server.drain(deadline: .after(.seconds(30)))
        serving.stop()
    }

    @Test func `fails as a timer by its name`() async throws {
        let result = try #require(
            await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
                try await Self.serve { loop in
                    Task(executorPreference: loop) { await loop.sleep(until: .never) }
                }
            }
        )
        let said = String(decoding: result.standardErrorContent, as: UTF8.self)
        #expect(said.contains("connection 1 has ended and still waits for 1 × a timer"), "\(said)")
    }

    @Test func `fails as a task when it waits for nothing that is known`() async throws {
        let result = try #require(
            await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
                try await Self.serve { _ in
                    Task { await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in } }
                }
            }
        )
        let said = String(decoding: result.standardErrorContent, as: UTF8.self)
        #expect(said.contains("connection 1 has left a task behind"), "\(said)")
    }

    @Test func `is nothing when its tasks end with it`() async throws {
        try await Self.serve { _ in
            let task = Task { await Task.yield() }
            await task.value
        }
    }
}
