import Testing

@testable import Analytics

@Suite struct `Kind anomalies` {
    private static let hour: Int64 = 3_600_000_000

    /// Events spread over hours as `counts` says.
    private func events(_ counts: [Int], type: String = "t") -> [AnalysisEvent] {
        counts.enumerated().flatMap { hour, count in
            (0..<count).map { number in
                let time = Int64(hour) * Self.hour + Int64(number) * (Self.hour / Int64(count))
                return AnalysisEvent(
                    time: time,
                    type: type,
                    subject: "\(number)",
                    fields: [.number(Double(hour % 7))]
                )
            }
        }
    }

    /// Days that rise and fall, with some noise.
    private func days(_ count: Int, seed: UInt64) -> [Int] {
        var random = SplitMix(seed: seed)
        return (0..<24 * count).map { hour in
            let phase = hour % 24
            return 20 + 8 * min(phase, 24 - phase) + random.below(9)
        }
    }

    private func hours(_ result: AnalysisValue) -> [String] {
        (result["anomalies"]?.elements ?? []).compactMap { $0["time"]?.text }
    }

    @Test func `finds a spike, a drop and a silence that are small against the season, and nothing else`()
        throws
    {
        for seed in 0..<10 as Range<UInt64> {
            var counts = days(10, seed: seed)
            // At three at night, what is usual at noon; at noon, what is usual at night; a day later,
            // nothing.
            counts[24 * 4 + 3] = 110
            counts[24 * 5 + 12] = 40
            counts[24 * 6 + 12] = 0
            let result = try Analysis.result("anomalies", [:], events(counts), to: 240 * Self.hour)
            #expect(
                hours(result) == ["1970-01-05T03:00:00Z", "1970-01-06T12:00:00Z", "1970-01-07T12:00:00Z"],
                "seed \(seed)"
            )
            #expect(result["season"] == "1d")
            let directions = result["anomalies"]?.elements.map { $0["direction"]?.text }
            #expect(directions == ["high", "low", "low"])
            #expect(result["anomalies"]?[2]?["value"] == 0.0)
            #expect(result["found"] == 3 && result["steps"] == 240 && result["truncated"] == false)
        }
    }

    @Test func `says in words why`() throws {
        var counts = [Int](repeating: 100, count: 60)
        counts[30] = 200
        let result = try Analysis.result("anomalies", ["season": "1h"], events(counts), to: 60 * Self.hour)
        #expect(
            result["anomalies"] == [
                [
                    "time": "1970-01-02T06:00:00Z", "value": 200.0, "expected": 100.0, "score": 10.0,
                    "direction": "high",
                    "reason": "count is 10 times the usual deviation above the expected 100",
                ]
            ]
        )
        #expect(result["usual_deviation"] == 0.0)
    }

    @Test func `finds nothing in a series that never changes, nor in an empty one`() throws {
        let flat = [Int](repeating: 5, count: 80)
        for counts in [flat, flat.map { _ in 0 }] {
            let result = try Analysis.result("anomalies", [:], events(counts), to: 80 * Self.hour)
            #expect(result["anomalies"] == [])
            #expect(result["steps"] == 80)
        }
    }

    @Test func `lists the worst when there are more than asked for`() throws {
        var counts = [Int](repeating: 100, count: 60)
        (counts[10], counts[20], counts[30]) = (180, 300, 240)
        let result = try Analysis.result("anomalies", ["limit": 2], events(counts), to: 60 * Self.hour)
        #expect(hours(result) == ["1970-01-01T20:00:00Z", "1970-01-02T06:00:00Z"])
        #expect(result["found"] == 3 && result["truncated"] == true)
    }

    @Test func `leaves out what is beyond the last whole step`() throws {
        let result = try Analysis.result(
            "anomalies",
            ["step": "7h"],
            events([Int](repeating: 2, count: 24)),
            to: 24 * Self.hour
        )
        #expect(result["steps"] == 3)
        #expect(result["left_out"] == 6)
    }

    @Test(arguments: ["count", "subjects", "sum", "avg", "min", "max", "p50", "p90"])
    func `scores as sorting every window anew does`(metric: String) throws {
        for seed in 0..<12 as Range<UInt64> {
            var random = SplitMix(seed: seed + 40)
            let step = Int64(60 + random.below(2_000)) * 1_000_000
            let made = MadeEvents(seed: seed, count: 900).make()
            let end = (made.last?.time ?? 0) + 1
            let steps = Int(end / step)
            let season = random.below(2) == 0 ? 1 : 2 + random.below(max(1, steps / 3 - 2))
            if steps < 3 * season { continue }
            var parameters: [String: AnalysisValue] = [
                "metric": .text(metric), "step": .text("\(step / 1_000_000)s"),
                "season": .text("\(Int64(season) * step / 1_000_000)s"), "threshold": 1, "limit": 1_000,
            ]
            if metric != "count", metric != "subjects" { parameters["field"] = "/n" }
            let result = try Analysis.result("anomalies", parameters, made, to: end)
            let series = series(made, metric, step, steps)
            let scores = Exact.scores(
                series,
                season: season == 1 ? nil : season,
                countsEvents: metric == "count" || metric == "subjects"
            )
            let expected = scores.indices.filter { abs(scores[$0]) >= 1 }
            let found = result["anomalies"]?.elements ?? []
            #expect(found.count == expected.count, "seed \(seed), season \(season) of \(steps)")
            for (row, index) in zip(found, expected) {
                #expect(row["time"] == .time(Int64(index) * step), "seed \(seed)")
                let score = try #require(row["score"]?.number)
                #expect(
                    abs(score - scores[index]) <= 1e-9 * max(1, abs(score)),
                    "seed \(seed), step \(index)"
                )
            }
        }
    }

    /// Each step's number, of the events in it; quantiles as the sketch has them, which is tested elsewhere.
    private func series(_ events: [AnalysisEvent], _ metric: String, _ step: Int64, _ steps: Int) -> [Double]
    {
        (0..<steps).map { index in
            let inside = events.filter { $0.time / step == Int64(index) }
            let numbers = inside.compactMap { $0.fields[0]?.number }
            var sketch = QuantileSketch()
            for number in numbers { sketch.insert(number) }
            switch metric {
            case "count": return Double(inside.count)
            case "subjects": return Double(Set(inside.compactMap(\.subject)).count)
            case "sum": return numbers.isEmpty ? .nan : numbers.reduce(0, +)
            case "avg": return numbers.isEmpty ? .nan : numbers.reduce(0, +) / Double(numbers.count)
            case "min": return numbers.min() ?? .nan
            case "max": return numbers.max() ?? .nan
            case "p50": return sketch.quantile(0.5) ?? .nan
            default: return sketch.quantile(0.9) ?? .nan
            }
        }
    }

    @Test func `refuses steps, seasons and fields that make no sense`() throws {
        let cases: [([String: AnalysisValue], Int64, ParameterError)] = [
            (["step": "1s"], 100, ParameterError("/step", "the range has 360000 of them, 10000 are allowed")),
            (["step": "5h"], 4, ParameterError("/step", "it is longer than the range")),
            (["season": "90m"], 100, ParameterError("/season", "it is no multiple of the step")),
            (["season": "2d"], 100, ParameterError("/season", "the range has less than 3 of them")),
            (["metric": "p50"], 100, ParameterError("/field", "it is missing")),
            (["field": "/n"], 100, ParameterError("/field", "the metric count is of no field")),
        ]
        for (parameters, hours, error) in cases {
            #expect(throws: error) { try Analysis.make("anomalies", parameters, to: hours * Self.hour) }
        }
    }
}
