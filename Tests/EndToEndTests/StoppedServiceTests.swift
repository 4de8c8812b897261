import Glibc
import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test
    func `answers every request that it has taken when it is told to stop under load, and exits with 0`()
        async throws
    {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let load = StopLoad(installation: installation, service: service)
            let outcome = try await load.run()

            #expect(await service.program.exit() == .exited(0))
            #expect(outcome.broken == 0, "an answer was cut short")
            let stored = try await installation.ids(like: "single-%")
            #expect(outcome.acknowledged.subtracting(stored).isEmpty, "acknowledged and not stored")
            #expect(stored.subtracting(outcome.acknowledged).isEmpty, "stored and not answered")
            #expect(outcome.acknowledged.count >= StopLoad.acknowledgedMin)
            // It has left by itself: nobody has to find out that it is gone.
            #expect(try await installation.number("SELECT count(*) FROM nodes") == 0)
            #expect(try await installation.number("SELECT count(*) FROM jobs WHERE state = 2") == 0)

            let next = try await installation.serve()
            try await next.waitForAnalytics()
            let expected = load.countsByType(outcome.acknowledged)
            try await StoredFacts.read(installation).expect(expected, "after the stop")
        }
    }
}

/// One client whose body is under way when the service is told to stop, and six that send single events.
private struct StopLoad: Sendable {
    struct Outcome: Sendable {
        var acknowledged: Set<String> = []
        var broken = 0
    }

    static let acknowledgedMin = 300

    let installation: Installation
    let service: RunningService
    let streamed = MadeEvents(9_000, prefix: "streamed", seed: 5)
    let single = MadeEvents(60_000, prefix: "single", seed: 6)

    /// What is to be stored when these single events were acknowledged.
    func countsByType(_ acknowledged: Set<String>) -> [String: Int] {
        let events = single.events.filter { acknowledged.contains($0.id) }
        return Dictionary(events.map { ($0.type, 1) }, uniquingKeysWith: +)
            .merging(streamed.countsByType, uniquingKeysWith: +)
    }

    func run() async throws -> Outcome {
        try await withThrowingTaskGroup(of: Outcome.self) { group in
            let stopped = Flag()
            for client in 0..<6 { group.addTask { try await sendSingly(client) } }
            group.addTask { try await stream(until: stopped) }
            try await until("some events of the stream and of the others are stored", on: installation.loop) {
                let streamed = try await installation.ids(like: "streamed-%").count
                let single = try await installation.ids(like: "single-%").count
                return streamed > 0 && single >= Self.acknowledgedMin
            }
            await service.program.signal(SIGTERM)
            try await until("it takes no more connections", on: installation.loop) {
                do {
                    try await service.connect { _ in }
                    return false
                } catch WireError.refused {
                    return true
                }
            }
            await stopped.set()
            return try await group.reduce(into: Outcome()) {
                $0.acknowledged.formUnion($1.acknowledged)
                $0.broken += $1.broken
            }
        }
    }

    /// Sends two thirds before the signal and the rest after it.
    private func stream(until stopped: Flag) async throws -> Outcome {
        let first = streamed.events.prefix(6_000).flatMap(\.line)
        let rest = streamed.events.dropFirst(6_000).flatMap(\.line)
        let answer = try await service.connect { connection in
            try await connection.begin("POST", "/v1/events", fields: RunningService.ndjson)
            try await connection.send(chunk: first)
            try await until("the service was told to stop", on: installation.loop) { await stopped.isSet }
            try await connection.send(chunk: rest)
            return try await connection.finish()
        }
        try #require(answer.status == 200, "\(answer.text)")
        #expect(
            try answer.decode(IngestAnswer.self)
                == IngestAnswer(received: 9_000, stored: 9_000, duplicates: 0, rejected: 0)
        )
        return Outcome()
    }

    private func sendSingly(_ client: Int) async throws -> Outcome {
        var outcome = Outcome()
        try await service.connect { connection in
            do throws(WireError) {
                for (number, event) in single.events.enumerated() where number % 6 == client {
                    let answer = try await connection.send(
                        "POST",
                        "/v1/events",
                        fields: RunningService.json,
                        body: event.line
                    )
                    #expect(answer.status == 200 || answer.status == 503)
                    if answer.status == 200 { outcome.acknowledged.insert(event.id) }
                }
                Issue.record("the service outlived its load")
            } catch .unanswered, .notSent {
                // The connection was idle when the service closed it.
            } catch .cutShort {
                outcome.broken += 1
            }
        }
        return outcome
    }
}

/// Something that happens once.
actor Flag {
    private(set) var isSet = false

    func set() { isSet = true }
}
