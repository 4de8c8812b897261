import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test func `stores every acknowledged event once while PostgreSQL ends its sessions again and again`()
        async throws
    {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let clients = (0..<6).map { MadeEvents(20_000, prefix: "client-\($0)", seed: UInt64(100 + $0)) }
            let isOver = Flag()

            let (ended, acknowledged) = try await withThrowingTaskGroup(of: [MadeEvents.Event].self) {
                group in
                for events in clients {
                    group.addTask {
                        try await RetryingClient(service: service).send(events.events, until: isOver)
                    }
                }
                let ended = try await endSessions(in: installation, rounds: 20)
                await isOver.set()
                return (ended, try await group.reduce(into: []) { $0 += $1 })
            }

            #expect(ended > 20)
            try await service.waitForAnalytics()
            let comment: Comment = "after \(ended) sessions were ended"
            let expected = Dictionary(acknowledged.map { ($0.type, 1) }, uniquingKeysWith: +)
            try await StoredFacts.read(installation).expect(expected, comment)
            #expect(try await installation.ids(like: "client-%") == Set(acknowledged.map(\.id)), comment)
            let totals = try await service.stats().totals
            #expect(totals.stored == acknowledged.count, comment)
            #expect(totals.received == totals.stored + totals.duplicates + totals.rejected, comment)
            #expect(totals.rejected == 0, comment)
        }
    }

    /// Ends all of the service's sessions, again as soon as there are new ones that write.
    private func endSessions(in installation: Installation, rounds: Int) async throws -> Int {
        var ended = 0
        for _ in 0..<rounds {
            let writers = "SELECT count(*) FROM pg_stat_activity WHERE \(Installation.isBackend)"
            try await until("a writer is connected again", on: installation.loop) {
                try await installation.number("\(writers) AND application_name LIKE '% writer-%'") > 0
            }
            ended += try await installation.number(
                """
                SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE \(Installation.isBackend)
                """
            )
        }
        return ended
    }
}

/// Sends single events one after another, each again and again until it is acknowledged.
struct RetryingClient: Sendable {
    let service: RunningService

    /// Returns the events that it has sent, all of them unless it was over before.
    @discardableResult
    func send(_ events: [MadeEvents.Event], until isOver: Flag? = nil) async throws -> [MadeEvents.Event] {
        try await service.connect { connection in
            var sent = 0
            for event in events {
                if let isOver, await isOver.isSet { break }
                try await until("\(event.id) is acknowledged", on: service.loop) {
                    let answer = try await connection.send(
                        "POST",
                        "/v1/events",
                        fields: RunningService.json,
                        body: event.line
                    )
                    #expect(answer.status == 200 || answer.status == 503, "\(answer.text)")
                    return answer.status == 200
                }
                sent += 1
            }
            return Array(events.prefix(sent))
        }
    }
}
