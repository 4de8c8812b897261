import Glibc
import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test func `listens on a Unix socket, also after it was killed, and removes it`() async throws {
        try await Installation.with { installation in
            let path = TestPaths.makeTemporaryDirectory() + "/socket"
            for signal in [SIGKILL, SIGTERM] {
                let service = try await installation.serve(["--listen", "unix:\(path)"])
                #expect(try await service.program.line() == "listening on unix:\(path)")
                let health = try await installation.run(["health", "unix:\(path)"])
                #expect(health.status == .exited(0), "\(health.complaint)")

                await service.program.signal(signal)
                _ = await service.program.exit()
                #expect((access(path, F_OK) == 0) == (signal == SIGKILL))
            }
            let gone = try await installation.run(
                ["health"],
                environment: ["MILLRACE_LISTEN": "unix:\(path)"]
            )
            #expect(gone.status == .exited(1) && gone.complaint.contains("unix:\(path)"), "\(gone.complaint)")
        }
    }
}
