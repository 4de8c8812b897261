import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test func `answers clients too many for its descriptors, and stores events meanwhile`() async throws {
        try await Installation.with { installation in
            let conninfo = try #require(installation.conninfo)
            let program = RunningProgram(on: installation.loop)
            installation.programs.add(program)
            try await program.start([
                "/bin/sh", "-c", "ulimit -n 256 && exec \"$0\" \"$@\"", MillraceBinary.path, "serve",
                "--listen", "127.0.0.1:0", "--workers", "1", "--writers", "1", "--loops", "1",
                "--data", installation.data, "--database", conninfo,
            ])
            let service = try await RunningService(program, on: installation.loop)
            let room = 256 - 96 - 3 * 8
            #expect(program.log().contains("\"connections\":\"\(room)\""))

            try await service.connect { kept in
                #expect(try await kept.send("GET", "/healthz").status == 200)
                try await Self.fill(service, room: room - 1, by: 40)
                let stored = try await kept.send(
                    "POST",
                    "/v1/events",
                    fields: RunningService.json,
                    body: Array(#"{"type":"t"}"#.utf8)
                )
                #expect(stored.status == 200)
            }
            try await until("a new client is answered", on: installation.loop) {
                try await service.get("/healthz").status == 200
            }
        }
    }

    /// Takes all the room with connections, each of which is answered, and asks for more, each in vain.
    private static func fill(_ service: RunningService, room: Int, by excess: Int) async throws {
        func occupy(_ left: Int) async throws {
            if left == 0 {
                for _ in 0..<excess {
                    let refused = try await service.get("/healthz")
                    #expect(refused.status == 503 && refused.text.contains("too_many_connections"))
                    #expect(refused.fields["retry-after"] == "1")
                }
                return
            }
            try await service.connect { connection in
                #expect(try await connection.send("GET", "/healthz").status == 200)
                try await occupy(left - 1)
            }
        }
        try await occupy(room)
    }
}
