import Glibc
import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test func `goes on for the drain delay, no longer ready, until a second signal ends it`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve(["--drain-delay", "1h"])
            #expect(try await service.get("/readyz").status == 200)

            await service.program.signal(SIGTERM)
            try await until("it is no longer ready", on: installation.loop) {
                try await service.get("/readyz").status == 503
            }
            let readiness = try await service.get("/readyz")
            #expect(readiness.text == #"{"status":"unready","database":"up","reasons":["draining"]}"#)
            #expect(try await service.get("/healthz").status == 200)
            let stored = try await service.connect { connection in
                let first = try await connection.send("GET", "/healthz")
                #expect(first.fields["connection"] == nil)
                return try await connection.send(
                    "POST",
                    "/v1/events",
                    fields: RunningService.json,
                    body: Array(#"{"type":"late"}"#.utf8)
                )
            }
            #expect(stored.status == 200)

            await service.program.signal(SIGTERM)
            #expect(await service.program.exit() == .exited(0))
        }
    }

    @Test func `ends by itself after the drain delay`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve(["--drain-delay", "200ms"])
            await service.program.signal(SIGTERM)
            #expect(await service.program.exit() == .exited(0))
            #expect(service.program.log().contains("no longer ready"))
        }
    }
}
