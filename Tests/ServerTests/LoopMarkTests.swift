import Glibc
import HTTP
import Reactor
import Server
import Synchronization
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct `A loop that is held up` {
    @Test func `is reported with the route whose handler holds it`() async throws {
        let serving = try EventLoop(name: "server")
        let label = Mutex(0)
        let monitor = try LoopMonitor([serving], limit: .milliseconds(4)) { stall in
            label.withLock { if $0 == 0 { $0 = stall.label } }
        }
        var router = Router()
        TestRoutes.add(to: &router)
        router.add(.get, "/held/{name}", for: .anyone) { _, _ in
            let patience = TestServer.patience
            while label.withLock({ $0 }) == 0, Deadline.now() < patience { sched_yield() }
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
                "GET /held/up HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
        }
        #expect(router.pattern(label: label.withLock { $0 }) == "/held/{name}")
        #expect(router.pattern(label: 0) == nil)
        await server.drain(deadline: .now())
        monitor.stop()
        serving.stop()
    }
}
