import Glibc
import Reactor
import TestSupport
import Testing

extension `End to end` {
    /// CHAOS_ROUNDS and CHAOS_SEED in the environment make it longer and different.
    @Test func `stores and counts every event once when the service is killed in the middle of streams`()
        async throws
    {
        let rounds = Environment.number("CHAOS_ROUNDS") ?? 3
        let seed = UInt64(Environment.number("CHAOS_SEED") ?? 20_261_122)
        try await Installation.with { installation in
            var random = SplitMix(seed: seed)
            var expected: [String: Int] = [:]
            var service = try await installation.serve()
            for round in 1...rounds {
                let comment: Comment = "seed \(seed), round \(round)"
                let streamed = MadeEvents(12_000, prefix: "streamed-\(round)", seed: random.next())
                let single = MadeEvents(8_000, prefix: "single-\(round)", seed: random.next())

                let interrupted = InterruptedRound(
                    installation: installation,
                    service: service,
                    round: round,
                    streamed: streamed,
                    single: single
                )
                let acknowledged = try await interrupted.run(&random)

                let before = try await installation.ids(like: "%-\(round)-%")
                #expect(!acknowledged.isEmpty, comment)
                #expect(acknowledged.subtracting(before).isEmpty, comment)
                service = try await installation.serve()
                let answer = try await service.stream(streamed.lines + single.lines)
                #expect(
                    answer
                        == IngestAnswer(
                            received: 20_000,
                            stored: 20_000 - before.count,
                            duplicates: before.count,
                            rejected: 0
                        ),
                    comment
                )
                for events in [streamed, single] { expected.merge(events.countsByType, uniquingKeysWith: +) }
                let rows = try await installation.number("SELECT count(*) FROM events")
                #expect(rows == round * 20_000, comment)
            }
            // The tails of the dead are cut by whoever buries them: when they have missed beats for 15 s, and
            // the one that lives has not.
            try await service.waitForAnalytics()
            try await StoredFacts.read(installation).expect(expected, "seed \(seed)")
            #expect(try await service.stats().countsByType == expected, "seed \(seed)")
            #expect(try await installation.number("SELECT count(*) FROM nodes") == 1, "seed \(seed)")
            await service.program.signal(SIGTERM)
            #expect(await service.program.exit() == .exited(0), "seed \(seed)")
        }
    }
}

extension `End to end` {
    @Test func `counts the events that a killed service had not cut into a job yet`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            // Nobody can cut while another session holds the jobs; storing goes on.
            try await installation.query("BEGIN")
            try await installation.query("LOCK TABLE jobs IN EXCLUSIVE MODE")
            let events = MadeEvents(40, prefix: "tail", seed: 7)
            #expect(try await service.stream(events.lines).stored == 40)
            await service.program.kill()
            // A backend that is about to cut would do so once the lock is gone.
            try await installation.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE \(Installation.isBackend)"
            )
            try await installation.waitForBackends()
            try await installation.query("ROLLBACK")
            #expect(try await installation.number("SELECT count(*) FROM streams WHERE cut < written") == 1)
            #expect(try await installation.number("SELECT count(*) FROM jobs") == 0)

            let next = try await installation.serve()
            try await next.waitForAnalytics()
            try await StoredFacts.read(installation).expect(events.countsByType, "an uncut tail")
        }
    }
}

/// A service that is killed while one client streams and others send single events.
private struct InterruptedRound: Sendable {
    let installation: Installation
    let service: RunningService
    let round: Int
    let streamed: MadeEvents
    let single: MadeEvents

    /// Returns the ids that were acknowledged before the end.
    func run(_ random: inout SplitMix) async throws -> Set<String> {
        let visible = Int.random(in: 1...5_000, using: &random)
        let extra = Duration.milliseconds(Int.random(in: 0...60, using: &random))
        let workers = try await service.waitForWorkers().compactMap(\.pid)
        let acknowledged = try await withThrowingTaskGroup(of: Set<String>.self) { group in
            group.addTask { try await streamHalf() }
            for client in 0..<4 { group.addTask { try await sendSingly(client) } }
            try await until("\(visible) events are visible", on: installation.loop) {
                try await installation.number(
                    "SELECT count(*) FROM events WHERE id LIKE $1",
                    ["streamed-\(round)-%"]
                ) >= visible
            }
            // Not a wait for anything: the moment is meant to be any.
            await installation.loop.sleep(for: extra)
            await service.program.signal(SIGKILL)
            return try await group.reduce(into: Set()) { $0.formUnion($1) }
        }
        #expect(await service.program.exit() == .signaled(SIGKILL))
        try await until("the workers died with their service", on: installation.loop) {
            workers.allSatisfy { !ProcessTable.isRunning($0) }
        }
        try await installation.waitForBackends()
        return acknowledged
    }

    /// Half of the stream, and then nothing more: the body never ends.
    private func streamHalf() async throws -> Set<String> {
        let lines = streamed.lines
        try await service.connect { connection in
            do throws(WireError) {
                try await connection.begin("POST", "/v1/events", fields: RunningService.ndjson)
                for start in stride(from: 0, to: lines.count / 2, by: 40_000) {
                    try await connection.send(
                        chunk: Array(lines[start..<min(start + 40_000, lines.count / 2)])
                    )
                }
                let answer = try await connection.answer()
                Issue.record("the service answered a body that had not ended: \(answer.status)")
            } catch .unanswered, .notSent {}
        }
        return []
    }

    private func sendSingly(_ client: Int) async throws -> Set<String> {
        var acknowledged: Set<String> = []
        try await service.connect { connection in
            do throws(WireError) {
                for (number, event) in single.events.enumerated() where number % 4 == client {
                    let answer = try await connection.send(
                        "POST",
                        "/v1/events",
                        fields: RunningService.json,
                        body: event.line
                    )
                    #expect(answer.status == 200)
                    acknowledged.insert(event.id)
                }
            } catch .unanswered, .notSent, .cutShort {}
        }
        return acknowledged
    }
}
