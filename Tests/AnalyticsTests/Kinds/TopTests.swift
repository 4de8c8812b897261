import Testing

@testable import Analytics

@Suite struct `Kind top` {
    @Test func `counts the values of an attribute or field exactly while they fit`() throws {
        for seed in 0..<10 as Range<UInt64> {
            let events = MadeEvents(seed: seed).make()
            let parts: [(AnalysisValue, (AnalysisEvent) -> FieldValue?)] = [
                ("type", { .text($0.type) }), ("source", { .text($0.source) }),
                ("subject", { $0.subject.map { .text($0) } }), ("/f", { $0.fields[0] }),
            ]
            for (name, value) in parts {
                let result = try Analysis.result("top", ["by": name, "limit": 1_000], events)
                let exact = Exact.counts(events, of: value)
                var found: [String: Int64] = [:]
                for row in result["values"]?.elements ?? [] {
                    found["\(try #require(row["value"]))"] = row["count"]?.integer
                    #expect(row["error"] == 0 && row["certain"] == true)
                }
                #expect(found == exact, "seed \(seed), \(name)")
                #expect(result["different"]?.integer == Int64(exact.count), "seed \(seed), \(name)")
                #expect(result["total"]?.integer == exact.values.reduce(0, +), "seed \(seed), \(name)")
                #expect(result["exact"] == true && result["truncated"] == false)
            }
        }
    }

    @Test func `keeps to its bounds with fewer counters than values`() throws {
        for seed in 0..<6 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            var limits = AnalysisLimits()
            limits.countersMax = 100
            // A few heavy values, and thousands that occur once or twice.
            let events = (0..<20_000).map { _ -> AnalysisEvent in
                let isHeavy = random.below(3) == 0
                let number = isHeavy ? Int(random.unit() * random.unit() * 20) : 100 + random.below(9_000)
                return AnalysisEvent(time: 0, type: "t", fields: [.number(Double(number))])
            }
            let exact = Exact.counts(events) { $0.fields[0] }
            let result = try Analysis.result("top", ["by": "/n", "limit": 50], events, limits: limits)
            let bound = Int64(20_000 / 100)
            var listed: Set<String> = []
            for row in result["values"]?.elements ?? [] {
                let value = "\(try #require(row["value"]))"
                let (count, error) = (
                    try #require(row["count"]?.integer), try #require(row["error"]?.integer)
                )
                let truth = try #require(exact[value])
                #expect(count - error <= truth && truth <= count, "seed \(seed), \(value)")
                #expect(error <= bound, "seed \(seed), \(value)")
                listed.insert(value)
            }
            let othersMax = try #require(result["others_max"]?.integer)
            for (value, truth) in exact where !listed.contains(value) {
                #expect(truth <= othersMax, "seed \(seed), \(value)")
            }
            #expect(exact.allSatisfy { $0.value <= bound || listed.contains($0.key) }, "seed \(seed)")
            for row in result["values"]?.elements ?? [] where row["certain"] == true {
                let rank = exact.values.count { $0 > exact["\(row["value"] ?? nil)"] ?? 0 }
                #expect(rank < 50, "seed \(seed)")
            }
            #expect(result["exact"] == false && result["truncated"] == true)
        }
    }

    @Test func `tells values of different types apart, and long ones by all their bytes`() throws {
        let long = String(repeating: "é", count: 200)
        let values: [FieldValue?] = [
            .text("1"), .number(1), .flag(true), .text("true"), .text(long + "a"), .text(long + "b"),
            .number(-0.0), .number(0), nil,
        ]
        let events = values.map { AnalysisEvent(time: 0, type: "t", fields: [$0]) }
        let result = try Analysis.result("top", ["by": "/v"], events)
        let rows = result["values"]?.elements ?? []
        #expect(rows.count == 7)
        #expect(rows[0].only("value", "count") == ["value": 0, "count": 2])
        #expect(result["without_value"] == 1)
        let shown = rows.compactMap { $0["value"]?.text }.filter { $0.hasPrefix("é") }
        #expect(shown == Array(repeating: String(repeating: "é", count: 128) + "…", count: 2))
    }
}

@Suite struct `Heavy hitters` {
    @Test func `hold their guarantee for weights, too, whatever the order`() {
        for seed in 0..<40 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            var hitters = HeavyHitters<Int>(capacity: 1 + random.below(30))
            var exact: [Int: Int64] = [:]
            for _ in 0..<3_000 {
                let key = Int(random.unit() * random.unit() * 200)
                let weight = Int64(1 + random.below(4))
                exact[key, default: 0] += weight
                _ = hitters.add(key, weight: weight)
            }
            #expect(hitters.total == exact.values.reduce(0, +))
            #expect(hitters.entries.count <= hitters.capacity)
            for entry in hitters.entries {
                let truth = exact[entry.key] ?? 0
                #expect(entry.count - entry.error <= truth && truth <= entry.count, "seed \(seed)")
                #expect(entry.error <= hitters.total / Int64(hitters.capacity), "seed \(seed)")
            }
            let kept = Set(hitters.entries.map(\.key))
            #expect(hitters.entries.map(\.count).min() == hitters.countOfOthersMax, "seed \(seed)")
            for (key, truth) in exact where !kept.contains(key) {
                #expect(truth <= hitters.countOfOthersMax, "seed \(seed), \(key)")
            }
        }
    }
}
