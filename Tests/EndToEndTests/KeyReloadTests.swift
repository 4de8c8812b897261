import Glibc
import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test func `refuses a revoked key at once when it is told to read the keys`() async throws {
        try await Installation.with { installation in
            let conninfo = try #require(installation.conninfo)
            _ = try await installation.run(["migrate", "--database", conninfo])
            let made = try await installation.run(
                ["keys", "create", "--name", "root", "--scope", "read", "--database", conninfo]
            )
            let key = String(made.output.prefix { !$0.isWhitespace })
            let service = try await installation.serve()
            func status() async throws -> Int {
                try await service.get("/v1/stats", fields: [("X-API-Key", key)]).status
            }
            #expect(try await status() == 200, "\(made.complaint)")
            let revoked = try await installation.run(["keys", "revoke", "1", "--database", conninfo])
            #expect(revoked.status == .exited(0), "\(revoked.complaint)")

            await service.program.signal(SIGHUP)
            try await until("it has read the keys", on: installation.loop) {
                service.program.log().contains("the keys were read again")
            }
            #expect(try await status() == 401)
            #expect(try await service.get("/healthz").status == 200)
        }
    }
}
