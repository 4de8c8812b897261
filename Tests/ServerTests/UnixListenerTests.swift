import Glibc
import HTTP
import Reactor
import Server
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct `A server on a Unix socket` {
    @Test func `answers on all its loops, as local before there is a key, and leaves no file`() async throws {
        let path = TestPaths.makeTemporaryDirectory() + "/socket"
        let loops = try (0..<3).map { try EventLoop(name: "server-\($0)") }
        var router = Router()
        router.add(.get, "/read", for: .scope(.read)) { request, _ in
            Response(contentType: "text/plain", bytes: Array("\(request.peer)".utf8))
        }
        var configuration = HTTPServerConfiguration()
        configuration.socketPath = path
        let server = try await HTTPServer(
            configuration,
            router: router,
            loops: loops,
            logger: TestServer.logger
        )
        #expect(server.address == .local)
        try await withLoop { loop in
            func connect() async throws -> TestClient {
                TestClient(
                    try await ByteStream.connect(path: path, on: loop, deadline: TestServer.patience)
                )
            }
            for _ in 0..<20 {
                let client = try await connect()
                defer { client.close() }
                try await client.send("GET /read HTTP/1.1\r\nHost: localhost\r\n\r\n")
                let answer = try await client.answer()
                #expect(answer.status == 200 && answer.text == "local")
            }
            await server.drain(deadline: .now())
            #expect(access(path, F_OK) != 0)
            await #expect(throws: StreamError.self) { _ = try await connect() }
        }
        for loop in loops { loop.stop() }
    }

    /// Each loop's listener is a descriptor of the same socket; one that stays open would keep it alive.
    @Test func `makes room for another one when it ends`() async throws {
        let path = TestPaths.makeTemporaryDirectory() + "/socket"
        let loops = try (0..<2).map { try EventLoop(name: "server-\($0)") }
        var configuration = HTTPServerConfiguration()
        configuration.socketPath = path
        for _ in 0..<2 {
            let server = try await HTTPServer(
                configuration,
                router: Router(),
                loops: loops,
                logger: TestServer.logger
            )
            await #expect(throws: SystemError.self) {
                _ = try await HTTPServer(
                    configuration,
                    router: Router(),
                    loops: loops,
                    logger: TestServer.logger
                )
            }
            #expect(access(path, F_OK) == 0)
            await server.drain(deadline: .now())
        }
        for loop in loops { loop.stop() }
    }
}
