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

@Suite(.timeLimit(.minutes(2))) struct `Series` {
    private struct Event {
        let time: Int64
        let type: String
        let source: String
        let subject: String
        let price: Double
    }

    /// Random events of twelve minutes with a hole in them, and their rollups in the database.
    private func fill(_ side: ReadSide, seed: UInt64) async throws -> [Event] {
        var random = SplitMix(seed: seed)
        var accumulator = RollupAccumulator()
        var events: [Event] = []
        for _ in 0..<3_000 {
            let minute = Int64([0, 1, 2, 3, 4, 8, 9, 10, 11].randomElement(using: &random) ?? 0)
            let event = Event(
                time: morning + minute * 60_000_000 + Int64(random.next() % 60_000_000),
                type: random.next() % 3 == 0 ? "a" : "b",
                source: random.next() % 2 == 0 ? "/1" : "/2",
                subject: "u\(random.next() % 200)",
                price: Double(random.next() % 100_000) / 100
            )
            let (type, source, subject) = (
                Array(event.type.utf8), Array(event.source.utf8), Array(event.subject.utf8)
            )
            accumulator.add(time: event.time, type: type.span, source: source.span, subject: subject.span)
            accumulator.add(field: Array("/price".utf8).span, value: event.price)
            events.append(event)
        }
        for (key, rollup) in accumulator.rollups {
            try await side.run(
                "INSERT INTO rollups_minute VALUES "
                    + "($1::timestamptz, $2, $3, $4::bigint, decode($5, 'hex'), decode($6, 'hex'))",
                [
                    EventFilter.text(key.minute), key.type, key.source, String(rollup.count),
                    hex(rollup.subjects.encode()), hex(rollup.fields.encode()),
                ]
            )
        }
        return events
    }

    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private func values(_ json: String) -> [Double?] {
        json.matches(of: /"value":([^}]*)\}/).map { Double($0.1) }
    }

    /// The events of each bucket, computed without any of the code under test.
    private func buckets(_ events: [Event], minutes: Int64, count: Int, first: Int64) -> [[Event]] {
        (0..<count).map { index in
            let start = first + Int64(index) * minutes * 60_000_000
            return events.filter { $0.time >= start && $0.time < start + minutes * 60_000_000 }
        }
    }

    private var range: String {
        "from=\(EventFilter.text(morning))&to=\(EventFilter.text(morning + 12 * 60_000_000))"
    }

    @Test func `agree with the events that they are made of`() async throws {
        var limits = InsightLimits()
        limits.seriesRowsMax = 7
        try await ReadSide.with(limits) { side in
            let events = try await fill(side, seed: 5)
            for minutes: Int64 in [1, 3, 12] {
                let first = morning - morning % (minutes * 60_000_000)
                let count = Int(
                    (morning + 12 * 60_000_000 - first + minutes * 60_000_000 - 1) / (minutes * 60_000_000)
                )
                for (filter, keeps) in Self.filters {
                    let wanted = buckets(events.filter(keeps), minutes: minutes, count: count, first: first)
                    let query = "\(range)&step=\(minutes)m&\(filter)"
                    let counts = values(try await side.series(query + "metric=count"))
                    #expect(counts == wanted.map { $0.isEmpty ? nil : Double($0.count) }, "\(query)")
                    let rates = values(try await side.series(query + "metric=rate"))
                    #expect(
                        rates == wanted.map { $0.isEmpty ? nil : Double($0.count) / Double(minutes * 60) }
                    )
                    let subjects = values(try await side.series(query + "metric=subjects"))
                    #expect(
                        subjects == wanted.map { $0.isEmpty ? nil : Double(Set($0.map(\.subject)).count) }
                    )
                    let maxima = values(try await side.series(query + "metric=max&field=/price"))
                    #expect(maxima == wanted.map { $0.map(\.price).max() }, "\(query)")
                    try await checkMedians(side, query, wanted)
                }
            }
        }
    }

    private static let filters: [(String, @Sendable (Event) -> Bool)] = [
        ("", { _ in true }), ("type=a&", { $0.type == "a" }),
        ("type=b&source=/2&", { $0.type == "b" && $0.source == "/2" }),
        ("type=none&", { _ in false }),
    ]

    private func checkMedians(_ side: ReadSide, _ query: String, _ wanted: [[Event]]) async throws {
        let medians = values(try await side.series(query + "metric=p50&field=/price"))
        let sums = values(try await side.series(query + "metric=sum&field=/price"))
        #expect(medians.count == wanted.count)
        for (index, events) in wanted.enumerated() {
            let prices = events.map(\.price).sorted()
            if prices.isEmpty {
                #expect(medians[index] == nil && sums[index] == nil)
                continue
            }
            let (low, high) = (
                prices[max(0, prices.count / 2 - 1)], prices[min(prices.count - 1, prices.count / 2 + 1)]
            )
            let (median, sum) = (medians[index] ?? -1, sums[index] ?? -1)
            #expect(median >= low * 0.989 && median <= high * 1.011, "\(query) bucket \(index)")
            #expect(abs(sum - prices.reduce(0, +)) < 0.001 * sum, "\(query) bucket \(index)")
        }
    }

    @Test func `have half open buckets and times of their beginnings`() async throws {
        try await ReadSide.with { side in
            for minute: Int64 in 0..<3 {
                try await side.run(
                    "INSERT INTO rollups_minute (minute, type, source, events) "
                        + "VALUES ($1::timestamptz, 't', '/', $2::bigint)",
                    [EventFilter.text(morning + minute * 60_000_000), "\(minute + 1)"]
                )
            }
            let (from, to) = (EventFilter.text(morning + 60_000_000), EventFilter.text(morning + 120_000_000))

            let json = try await side.series("from=\(from)&to=\(to)")

            #expect(json.hasSuffix(#""step_s":60,"points":[{"time":"\#(from)","value":2}]}"#))
            #expect(values(try await side.series("metric=subjects&from=\(from)&to=\(to)")) == [0])
            #expect(values(try await side.series("metric=avg&field=/x&from=\(from)&to=\(to)")) == [nil])
        }
    }

    @Test func `are a problem when a sketch is damaged`() async throws {
        try await ReadSide.with { side in
            try await side.run(
                "INSERT INTO rollups_minute (minute, type, source, events, subjects) "
                    + "VALUES ($1::timestamptz, 't', '/', 1, '\\xffff')",
                [EventFilter.text(morning)]
            )
            let error = await #expect(throws: ReadError.self) {
                try await side.series("metric=subjects&\(range)")
            }
            #expect(error?.response(requestID: "r").status == 500)
        }
    }
}
