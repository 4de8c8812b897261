import Glibc
import Reactor
import TestSupport
import Testing

@testable import millrace

@Suite(.timeLimit(.minutes(2))) struct `A send that is told to stop` {
    /// Runs `millrace send` on a file of 10 events against a server that behaves like this, and lends it to
    /// `body`; returns its output and complaints.
    private static func with(
        _ behaviour: ScriptedServer.Behaviour,
        _ body: @escaping @Sendable (RunningProgram, ScriptedServer) async throws -> Void
    ) async throws -> (output: String, log: String) {
        let path = TestPaths.makeTemporaryDirectory() + "/events"
        #expect(system("seq 10 >'\(path)'") == 0)
        // The child dies with its loop's thread, so the loop is the cluster's, which stays.
        let loop = try await TestCluster.shared().loop
        return try await OnLoop(loop).run {
            let server = try ScriptedServer(on: loop) { _ in behaviour }
            await server.start()
            let program = RunningProgram(on: loop)
            do {
                try await program.start([MillraceBinary.path, "send", path, "--url", "\(server.url)"])
                try await body(program, server)
                let output = String(decoding: try await program.rest(), as: UTF8.self)
                #expect(await program.exit() == .exited(130), "\(program.log())")
                await program.kill()
                await server.close()
                return (output, program.log())
            } catch {
                await program.kill()
                await server.close()
                throw error
            }
        }
    }

    private static func until(_ loop: EventLoop, _ check: () async -> Bool) async throws {
        while await !check() {
            try Task.checkCancellation()
            await loop.sleep(for: .milliseconds(10))
        }
    }

    @Test func `does not wait for the time that the server wants`() async throws {
        let loop = try await TestCluster.shared().loop
        let busy = ScriptedServer.Behaviour.refuse(status: 503, fields: "Retry-After: 3600\r\n")
        let (output, log) = try await Self.with(busy) { program, _ in
            try await Self.until(loop) { program.log().contains("retry 1 of 12") }
            await program.signal(SIGINT)
        }
        #expect(output.hasPrefix("10 events: 0 stored, 0 duplicates, 0 rejected, 10 not acknowledged"))
        #expect(log.contains("lines 1 to 10 are not acknowledged: status 503"), "\(log)")
    }

    @Test func `waits for answers under way, and at a second signal for nothing`() async throws {
        let loop = try await TestCluster.shared().loop
        let (output, log) = try await Self.with(.hold) { program, server in
            try await Self.until(loop) { await server.requests > 0 }
            await program.signal(SIGINT)
            try await Self.until(loop) { program.log().contains("stopping: ") }
            #expect(await !program.hasEnded)
            await program.signal(SIGTERM)
        }
        #expect(output.hasPrefix("10 events: 0 stored, 0 duplicates, 0 rejected, 10 not acknowledged"))
        #expect(!log.contains("no answer in time"), "\(log)")
    }
}
