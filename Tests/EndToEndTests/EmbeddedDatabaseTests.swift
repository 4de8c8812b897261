import Glibc
import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test func `keeps its own PostgreSQL over its own death, and over that of PostgreSQL`() async throws {
        try await Installation.withEmbedded { installation in
            let events = MadeEvents(3_000, prefix: "embedded", seed: 7)
            let all = IngestAnswer(received: 3_000, stored: 3_000, duplicates: 0, rejected: 0)
            let again = IngestAnswer(received: 3_000, stored: 0, duplicates: 3_000, rejected: 0)
            let killed = try await installation.serve()
            #expect(try await killed.stats().database.kind == "embedded")
            #expect(try await killed.stream(events.lines) == all)
            let postmaster = try #require(installation.postmaster)

            await killed.program.signal(SIGKILL)
            #expect(await killed.program.exit() == .signaled(SIGKILL))
            #expect(installation.postmaster == postmaster, "it died with the service")
            let service = try await installation.serve()
            #expect(installation.postmaster == postmaster, "it was not adopted")
            #expect(try await service.stream(events.lines) == again)

            // A fast shutdown, which ends all sessions.
            kill(postmaster, SIGINT)
            let more = MadeEvents(200, prefix: "more", seed: 8)
            try await RetryingClient(service: service).send(more.events)
            try await until("another postmaster runs", on: installation.loop) {
                installation.postmaster.map { $0 != postmaster } ?? false
            }
            #expect(try await service.stream(events.lines) == again)

            try await service.waitForAnalytics()
            let expected = events.countsByType.merging(more.countsByType, uniquingKeysWith: +)
            #expect(try await service.stats().countsByType == expected)
            await service.program.signal(SIGTERM)
            #expect(await service.program.exit() == .exited(0))
            #expect(installation.postmaster == nil, "it outlived a service that stopped in order")
        }
    }
}
