import Glibc
import Reactor
import TestSupport
import Testing

extension `End to end` {
    /// The postmaster is killed and stays away while events come in; the service is killed as well.
    @Test func `takes events while PostgreSQL is away, and has each of them once when it is back`()
        async throws
    {
        try await Installation.withEmbedded { installation in
            let cluster = try await OutsideCluster(installation)
            try await cluster.start()
            let first = try await installation.serve(
                Installation.withSpool + ["--database", cluster.conninfo]
            )
            let before = MadeEvents(500, prefix: "before", seed: 1)
            #expect(try await first.stream(before.lines).stored == 500)

            try await cluster.kill()
            let away = MadeEvents(3_000, prefix: "away", seed: 2)
            let answer = try await first.stream(away.lines)
            #expect(answer.stored == 3_000 && answer.durability == "spooled")
            let ready = try await first.get("/readyz")
            #expect(ready.status == 200 && ready.text.contains(#""database":"away""#))
            #expect(try await first.get("/metrics").text.contains("millrace_spool_events 3000"))
            let some = away.events[1_234]
            let waiting = try await first.get("/v1/events/\(some.id)")
            #expect(waiting.status == 200 && waiting.text.contains(#""verdict":"spooled""#))
            // The database knows of it, or not: it cannot be asked.
            #expect(try await first.get("/v1/events/\(before.events[0].id)").status == 503)

            // Sent before, and during: the database decides when it is back.
            #expect(try await first.stream(before.lines + away.lines).durability == "spooled")
            try await cluster.start()
            try await until("the spool is drained", on: installation.loop) {
                let stats = try await first.stats()
                return stats.database.state == "up" && stats.totals.spooled == 0
                    && stats.totals.received == 7_000
            }
            let totals = try await first.stats().totals
            #expect(totals.stored == 3_500 && totals.duplicates == 3_500)
            let stored = try await first.get("/v1/events/\(some.id)")
            #expect(stored.status == 200 && stored.text.contains(#""verdict":"stored""#))
            #expect(
                try await first.stream(away.lines)
                    == IngestAnswer(received: 3_000, stored: 0, duplicates: 3_000, rejected: 0)
            )
            try await first.waitForAnalytics()
            #expect(
                try await first.stats().countsByType
                    == before.countsByType.merging(away.countsByType, uniquingKeysWith: +)
            )
            await first.program.signal(SIGTERM)
            #expect(await first.program.exit() == .exited(0))
            try await cluster.kill()
        }
    }

    @Test func `drains what a killed service had in its spool, and counts it once`() async throws {
        try await Installation.withEmbedded { installation in
            let cluster = try await OutsideCluster(installation)
            try await cluster.start()
            let first = try await installation.serve(
                Installation.withSpool + ["--database", cluster.conninfo]
            )
            #expect(try await first.stream(MadeEvents(10, prefix: "warm", seed: 1).lines).stored == 10)
            try await cluster.kill()
            let away = MadeEvents(2_000, prefix: "away", seed: 2)
            #expect(try await first.stream(away.lines + Array("{}\n".utf8)).durability == "spooled")
            await first.program.kill()

            try await cluster.start()
            let second = try await installation.serve(
                Installation.withSpool + ["--database", cluster.conninfo]
            )
            try await until("the spool is drained", on: installation.loop) {
                let stats = try await second.stats()
                return stats.database.state == "up" && stats.totals.spooled == 0
                    && stats.totals.received == 2_011
            }
            let totals = try await second.stats().totals
            #expect(totals.stored == 2_010 && totals.duplicates == 0 && totals.rejected == 1)
            #expect(
                try await second.stream(away.lines)
                    == IngestAnswer(received: 2_000, stored: 0, duplicates: 2_000, rejected: 0)
            )
            await second.program.signal(SIGTERM)
            #expect(await second.program.exit() == .exited(0))
            try await cluster.kill()
        }
    }

    @Test func `answers from the spool at once when it is asked to, and stores all the same`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve(Installation.withSpool)
            let events = MadeEvents(2_000, prefix: "spooled", seed: 1)
            let answer = try await service.connect { connection in
                try await connection.send(
                    "POST",
                    "/v1/events?ack=spooled",
                    fields: RunningService.ndjson,
                    body: events.lines
                )
            }
            #expect(answer.status == 202)
            #expect(try answer.decode(IngestAnswer.self).durability == "spooled")
            let forgotten = try await service.connect { connection in
                try await connection.send(
                    "POST",
                    "/v1/events?ack=none&verdicts=all",
                    fields: RunningService.json,
                    body: Array(#"{"id":"none-1","type":"t"}"#.utf8)
                )
            }
            #expect(forgotten.status == 202 && forgotten.text.contains(#""durability":"none""#))
            try await until("all is stored", on: installation.loop) {
                try await installation.number("SELECT count(*) FROM events") == 2_001
            }
            try await service.waitForAnalytics()
            #expect(try await installation.number("SELECT sum(events) FROM rollups_minute") == 2_001)
        }
    }
}
