import Glibc
import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test func `sends the statistics every second until it is told to stop`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            try await service.connect { connection in
                let head = try await connection.open("/v1/stats/live")
                #expect(head.status == 200 && head.fields["content-type"] == "text/event-stream")
                for _ in 0..<2 {
                    let event = String(decoding: try #require(try await connection.chunk()), as: UTF8.self)
                    #expect(event.hasPrefix(#"data: {"totals":{"#) && event.hasSuffix("}\n\n"), "\(event)")
                }
                #expect(try await service.get("/metrics").text.contains("\nmillrace_stats_listeners 1\n"))

                await service.program.signal(SIGTERM)
                // The end of the body: a stream that is cut off throws.
                while try await connection.chunk() != nil {}
            }
            #expect(await service.program.exit() == .exited(0))
        }
    }
}
