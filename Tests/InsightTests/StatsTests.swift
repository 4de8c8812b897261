import Analytics
import CoreMetrics
import Events
import Postgres
import Reactor
import Server
import TestSupport
import Testing

@testable import Insight

@Suite(.timeLimit(.minutes(2))) struct `Statistics` {
    private static let epoch = "00000000-0000-0000-0000-00000000000a"

    /// Two streams with flushes, one node that is gone, rollups of a part of it, and jobs.
    private func fill(_ side: ReadSide) async throws {
        let streams = try await side.run("SELECT register_node($1::uuid, 'n', 2)", [Self.epoch]).rows
        for (index, row) in streams.enumerated() {
            try await side.run(
                """
                UPDATE streams SET received = 13, stored = 8, duplicates = 3, rejected = 2, bytes = 500,
                  written = written + 10, ts_min = now(), ts_max = now() WHERE stream = $1::bigint
                """,
                [row[0]]
            )
            if index == 0 { try await side.run("SELECT cut_stream($1::bigint)", [row[0]]) }
        }
        try await side.run(
            "UPDATE totals SET received = 100, stored = 90, duplicates = 6, rejected = 4, bytes = 9000"
        )
        try await side.run(
            "INSERT INTO rollups_type VALUES ('a', 70, now(), now()), "
                + "('b\"', 25, now(), '2026-11-20T00:00:00Z')"
        )
        try await side.run(
            """
            INSERT INTO dead_jobs (id, queue, kind, stream, lo, hi, ts_min, ts_max, reason, errors, attempt,
              crashes, losses) VALUES (1000, 'rollup', 'rollup', 1, 1, 2, now(), now(), 'r', '[]', 1, 1, 1)
            """
        )
        try await side.run("UPDATE jobs SET created_at = now() - interval '90 s'")
    }

    @Test func `add up all streams and what those that are gone had counted`() async throws {
        try await ReadSide.with { side in
            try await fill(side)

            let json = try await side.stats()

            #expect(
                json.contains(
                    #""totals":{"received":126,"stored":106,"duplicates":12,"rejected":8,"shed":4,"#
                        + #""spooled":0,"bytes":10000}"#
                )
            )
            #expect(json.contains(#""types_count":2,"types":[{"type":"a","count":70,"#))
            #expect(json.contains(#"{"type":"b\"","count":25,"last_at":"2026-11-20T00:00:00.000000Z"}]"#))
            let lag = json.firstMatch(of: /"lag_s":([0-9.]+),"lag_events":11,/)
            #expect(lag.flatMap { Double($0.1) } ?? 0 >= 90)
            #expect(json.contains(#""jobs":{"ready":1,"leased":0,"scheduled":0,"paused":0,"dead":1}"#))
            #expect(json.contains(#""workers":[{"slot":0,"pid":7,"state":"busy","job":9,"kind":"rollup","#))
            #expect(json.contains(#""database":{"state":"up","kind":"embedded","version":"15."#))
            #expect(json.contains(#""node":{"name":"n\"1","version":"1.2.3","#))
        }
    }

    @Test func `of an empty database are zeros, with nothing where nothing is known`() async throws {
        try await ReadSide.with { side in
            let json = try await side.stats("recent=3")

            #expect(json.contains(#""totals":{"received":0,"#))
            #expect(
                json.contains(
                    #""rates":{"1s":null,"1m":null,"5m":null,"15m":null},"recent":[null,null,null],"#
                )
            )
            #expect(json.contains(#""latency":{"p50_ms":null,"p90_ms":null,"p99_ms":null,"requests":0,"#))
            #expect(json.contains(#""analytics":{"lag_s":0,"lag_events":0,"#))
        }
    }

    @Test func `are the last known while the database is away, and say so`() async throws {
        try await ReadSide.with { side in
            try await fill(side)
            // A look gives up at its deadline, which a busy machine may miss.
            repeat { await side.sampler.look() } while await side.sampler.view().snapshot == nil
            await side.routes.reader.close()
            await side.sampler.look()

            let json = try await side.stats()

            #expect(json.contains(#""totals":{"received":126,"#))
            #expect(json.contains(#""database":{"state":"away","#))
            #expect(json.contains(#""stale_s":"#))
            #expect(await side.sampler.view().failure != nil)
        }
    }

    @Test func `are a problem when nothing was ever read`() async throws {
        try await ReadSide.with { side in
            await side.routes.reader.close()
            let error = await #expect(throws: ReadError.self) { try await side.stats() }
            #expect(error?.response(requestID: "r").status == 503)
        }
    }

    @Test func `have the latency of the requests since the sample of a minute ago`() async throws {
        try await ReadSide.with { side in
            let timer = Timer(label: "millrace_ingest_duration_seconds", factory: side.metrics)
            timer.recordSeconds(50)
            let now = Deadline.now()
            let snapshot = try await StatsSnapshot.read(over: side.routes.reader, limits: side.routes.limits)
            await side.sampler.take(snapshot, at: Deadline(nanoseconds: now.nanoseconds - 60_000_000_000))
            for _ in 0..<4 { timer.recordNanoseconds(2_000_000) }
            await side.sampler.take(snapshot, at: now)

            let json = try await side.stats()

            #expect(json.contains(#""latency":{"p50_ms":1.75,"p90_ms":2.35,"#))
            #expect(json.contains(#""requests":4,"window_s":60}"#))
        }
    }

    @Test func `need few looks: the sampler survives an absent database`() async throws {
        try await withLoop { loop in
            let pool = PostgresPool(
                PostgresConfiguration(conninfo: "host=/nonexistent"),
                size: 1,
                name: "none",
                loop: loop,
                logger: TestCluster.logger
            )
            var limits = InsightLimits()
            limits.statsTimeout = .milliseconds(50)
            let sampler = TotalsSampler(
                reader: pool,
                metrics: PrometheusMetrics(),
                latencyTimer: "x",
                limits: limits,
                loop: loop,
                logger: TestCluster.logger
            )
            await sampler.look()
            #expect(await sampler.view().failure != nil)
            #expect(await sampler.view().snapshot == nil)
            await pool.close()
        }
    }
}
