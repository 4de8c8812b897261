import Analytics
import Events
import Postgres
import Reactor
import Server
import TestSupport
import Testing

@testable import Insight

@Suite(.timeLimit(.minutes(2))) struct `Series` {
    private struct Event {
        let time: Int64
        let type: String
        let source: String
        let subject: String
        let price: Double
    }

    /// Random events of twelve minutes with a hole in them, and their rollups in the database.
    ///
    /// With a `minuteLength` of more they are spread over as many times as much.
    private func fill(
        _ side: ReadSide,
        seed: UInt64,
        minuteLength: Int64 = 60_000_000
    ) async throws -> [Event] {
        var random = SplitMix(seed: seed)
        var accumulator = RollupAccumulator()
        var events: [Event] = []
        for _ in 0..<3_000 {
            let minute = Int64([0, 1, 2, 3, 4, 8, 9, 10, 11].randomElement(using: &random) ?? 0)
            let event = Event(
                time: morning + minute * minuteLength + Int64(random.next() % 60_000_000),
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

    /// Fills a level above the minutes; what is fresh in it is taken out of the finer level, and what is
    /// stale is wrong, so that whoever reads the other one finds too little or too much.
    private func raise(_ unit: String, _ side: ReadSide, _ random: inout SplitMix) async throws {
        try await side.run("UPDATE rollup_levels SET is_ready = true")
        let (finer, time) = unit == "hour" ? ("rollups_minute", "minute") : ("rollups_hour", "start")
        let fresh = unit == "hour" ? "true" : "NOT is_stale"
        let start = "date_trunc('\(unit)', \(time), 'UTC')"
        let keys = try await side.run("SELECT DISTINCT \(start), type, source FROM \(finer)").rows
        for key in keys {
            let those = "FROM \(finer) WHERE \(start) = $1 AND type = $2 AND source = $3"
            let parts = try await side.run("SELECT events, subjects, fields \(those) AND \(fresh)", key).rows
            let all = try await side.run("SELECT \(those)", key).rows
            if parts.count < all.count || random.next() % 3 == 0 {
                try await side.run("INSERT INTO rollups_\(unit) VALUES ($1, $2, $3, 99999)", key)
                continue
            }
            let whole = try sum(parts)
            try await side.run(
                """
                INSERT INTO rollups_\(unit)
                  VALUES ($1, $2, $3, $4, decode($5, 'hex'), decode($6, 'hex'), false)
                """,
                key + [String(whole.count), hex(whole.subjects.encode()), hex(whole.fields.encode())]
            )
            try await side.run("DELETE \(those)", key)
        }
    }

    private func sum(_ parts: [[String?]]) throws -> Rollup {
        var whole = Rollup()
        for values in parts {
            var row = ReadRow(values)
            whole.count += try row.integer()
            let (subjects, fields) = (try row.bytes() ?? [], try row.bytes() ?? [])
            whole.subjects.merge(try HyperLogLog.decode(subjects.span))
            whole.fields.merge(try FieldSketches.decode(fields.span))
        }
        return whole
    }

    @Test(arguments: [2, 3] as [UInt64])
    func `of hours and days agree with the events, however much of them is made yet`(
        seed: UInt64
    ) async throws {
        var limits = InsightLimits()
        limits.seriesRowsMax = 5
        try await ReadSide.with(limits) { side in
            var random = SplitMix(seed: seed)
            let day: Int64 = 86_400_000_000
            let events = try await fill(side, seed: seed, minuteLength: 7_260_000_000)
            let first = morning - morning % day - day
            let range = "from=\(EventFilter.text(first))&to=\(EventFilter.text(first + 4 * day))"
            for minutes: Int64 in [60, 180, 1_440, 5_760] {
                if minutes == 60 { try await raise("hour", side, &random) }
                if minutes == 1_440 { try await raise("day", side, &random) }
                let length = minutes * 60_000_000
                let start = first - first % length
                let count = Int((first + 4 * day - start + length - 1) / length)
                for (filter, keeps) in Self.filters {
                    let wanted = buckets(events.filter(keeps), minutes: minutes, count: count, first: start)
                    let query = "\(range)&step=\(minutes)m&\(filter)"
                    let counts = values(try await side.series(query + "metric=count"))
                    #expect(counts == wanted.map { $0.isEmpty ? nil : Double($0.count) }, "\(query)")
                    let subjects = values(try await side.series(query + "metric=subjects"))
                    #expect(
                        subjects == wanted.map { $0.isEmpty ? nil : Double(Set($0.map(\.subject)).count) }
                    )
                    try await checkMedians(side, query, wanted)
                }
            }
            try await checkRankings(side, events, range)
        }
    }

    private func checkRankings(_ side: ReadSide, _ events: [Event], _ range: String) async throws {
        for (column, name) in [(RankingQuery.Column.type, \Event.type), (.source, \Event.source)] {
            let groups = Dictionary(grouping: events, by: { $0[keyPath: name] })
            let wanted = groups.sorted { ($1.value.count, $0.key) < ($0.value.count, $1.key) }
                .map { name, events in
                    let subjects = Set(events.map(\.subject)).count
                    let value = #""\#(column.rawValue)":"\#(name)""#
                    return #"{\#(value),"count":\#(events.count),"subjects":\#(subjects)}"#
                }
            let all = #"{"\#(column.plural)":[\#(wanted.joined(separator: ","))]}"#
            #expect(try await side.ranking(column, range) == all)
            #expect(try await side.ranking(column, "") == all)
            let first = #"{"\#(column.plural)":[\#(wanted[0])]}"#
            #expect(try await side.ranking(column, "limit=1&\(range)") == first)
        }
    }

    @Test func `of nothing rank nobody, and subjects are ranked by the events themselves`() async throws {
        try await ReadSide.with { side in
            #expect(try await side.ranking(.type, "") == #"{"types":[]}"#)
            for (index, subject) in ["a", "b", "b", nil, "c", "b", "c"].enumerated() {
                try await side.store(id: "\(index)", at: morning + Int64(index), subject: subject)
            }
            let range = "from=\(EventFilter.text(morning))&to=\(EventFilter.text(morning + 6))"
            let ranked = [("b", 3), ("a", 1), ("c", 1)].map { #"{"subject":"\#($0)","count":\#($1)}"# }
            #expect(
                try await side.ranking(.subject, range)
                    == #"{"subjects":[\#(ranked.joined(separator: ","))]}"#
            )
            #expect(try await side.ranking(.subject, range + "&limit=1&type=t").hasSuffix(#""count":3}]}"#))
            #expect(try await side.ranking(.subject, range + "&source=none") == #"{"subjects":[]}"#)
            #expect(try await side.ranking(.subject, "") == #"{"subjects":[]}"#)
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
