import Testing

@testable import Analytics

@Suite struct `Kind correlate` {
    private static let minute: Int64 = 60_000_000

    /// Events of each type as often in each minute as its list says.
    private func events(_ counts: [(type: String, counts: [Int])]) -> [AnalysisEvent] {
        (0..<counts[0].counts.count).flatMap { minute in
            counts.flatMap { type, counts in
                (0..<counts[minute]).map { _ in AnalysisEvent(time: Int64(minute) * Self.minute, type: type) }
            }
        }
    }

    @Test func `finds what moves together, what against each other, and who follows whom`() throws {
        var random = SplitMix(seed: 5)
        let first = (0..<200).map { _ in random.below(20) }
        let others = (0..<200).map { _ in random.below(20) }
        let made = events([
            ("a", first), ("twice", first.map { 2 * $0 + 1 }), ("against", first.map { 20 - $0 }),
            ("later", [0, 0, 0] + first.dropLast(3)), ("other", others), ("same", first.map { _ in 3 }),
        ])
        let result = try Analysis.result(
            "correlate",
            ["step": "1m", "lag": 5, "least": 0.9],
            made,
            to: 200 * Self.minute
        )
        var pairs: [[String]: (Double, Double)] = [:]
        for row in result["pairs"]?.elements ?? [] {
            let types = row["types"]?.elements.compactMap(\.text) ?? []
            pairs[types] = (row["strength"]?.number ?? 0, row["lag_seconds"]?.number ?? -1)
        }
        #expect(pairs.count == 6)
        #expect(pairs[["a", "twice"]].map { abs($0.0 - 1) < 1e-9 && $0.1 == 0 } == true)
        #expect(pairs[["a", "against"]].map { abs($0.0 + 1) < 1e-9 && $0.1 == 0 } == true)
        #expect(pairs[["a", "later"]].map { abs($0.0 - 1) < 1e-9 && $0.1 == 180 } == true)
        #expect(pairs[["against", "later"]].map { abs($0.0 + 1) < 1e-9 && $0.1 == 180 } == true)
        #expect(result["constant"] == ["same"])
        #expect(result["exact"] == true && result["truncated"] == false)
    }

    @Test func `finds what the textbook's formula finds`() throws {
        for seed in 0..<20 as Range<UInt64> {
            var random = SplitMix(seed: seed + 3)
            let made = MadeEvents(seed: seed, count: 400).make()
            let seconds = Int64(100 + random.below(300))
            let (step, end) = (seconds * 1_000_000, (made.last?.time ?? 0) + 1)
            let steps = Int(end / step)
            let (isByRank, isOfChanges) = (random.below(2) == 0, random.below(2) == 0)
            let lagMax = random.below(4)
            let result = try Analysis.result(
                "correlate",
                [
                    "step": .text("\(seconds)s"), "method": isByRank ? "spearman" : "pearson",
                    "of": isOfChanges ? "changes" : "counts", "lag": .integer(Int64(lagMax)), "least": 0,
                ],
                made,
                to: end
            )
            var series: [String: [Double]] = [:]
            for type in Set(made.map(\.type)) {
                let counts = Exact.counts(made, of: type, step: step, count: steps)
                series[type] = isOfChanges ? zip(counts.dropFirst(), counts).map { $0 - $1 } : counts
            }
            let rows = result["pairs"]?.elements ?? []
            #expect(rows.count == series.count * (series.count - 1) / 2, "seed \(seed)")
            for row in rows {
                let types = row["types"]?.elements.compactMap(\.text) ?? []
                let strength = try #require(row["strength"]?.number)
                let lag = Int(try #require(row["lag_seconds"]?.number)) / Int(seconds)
                let (left, right) = (try #require(series[types[0]]), try #require(series[types[1]]))
                let exact = Self.strength(left, right, lag, isByRank)
                #expect(abs(strength - (exact ?? 9)) < 1e-9, "seed \(seed), \(types)")
                for other in -lagMax...lagMax {
                    let candidate =
                        other < 0
                        ? Self.strength(right, left, -other, isByRank)
                        : Self.strength(left, right, other, isByRank)
                    #expect(
                        abs(candidate ?? 0) <= abs(strength) + 1e-9,
                        "seed \(seed), \(types), lag \(other)"
                    )
                }
            }
        }
    }

    private static func strength(_ left: [Double], _ right: [Double], _ lag: Int, _ isByRank: Bool) -> Double?
    {
        let (first, second) = (Array(left.dropLast(lag)), Array(right.dropFirst(lag)))
        return isByRank
            ? Exact.pearson(Exact.ranks(first), Exact.ranks(second)) : Exact.pearson(first, second)
    }

    @Test func `takes the types that it is given, or the first, and counts what it leaves out`() throws {
        let made = events([("a", [1, 2, 3, 4]), ("b", [1, 2, 3, 5]), ("c", [4, 2, 1, 0])])
        var limits = AnalysisLimits()
        limits.correlatedTypesMax = 2
        let parameters: [String: AnalysisValue] = ["step": "1m", "least": 0]
        let first = try Analysis.result("correlate", parameters, made, to: 4 * Self.minute, limits: limits)
        #expect(first["types"] == ["a", "b"])
        #expect(first["left_out"] == 7)
        #expect(first["truncated"] == true && first["exact"] == false)
        let named = try Analysis.make("correlate", ["types": ["c", "a"], "step": "1m"], to: 4 * Self.minute)
        #expect(named.needs.types == ["c", "a"])
    }

    @Test func `refuses steps of which too few remain`() throws {
        #expect(throws: ParameterError("/step", "2 points remain to be compared, 3 are needed")) {
            try Analysis.make("correlate", ["step": "1m", "lag": 2, "of": "changes"], to: 5 * Self.minute)
        }
    }
}
