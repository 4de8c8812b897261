import Testing

@testable import Analytics

@Suite struct `Kind quantiles` {
    @Test func `is within one percent, for all and for each group`() throws {
        for seed in 0..<30 as Range<UInt64> {
            let events = MadeEvents(seed: seed, count: 900).make()
            let parameters: [String: AnalysisValue] = [
                "field": "/n", "by": "type", "shares": [0, 0.25, 0.5, 0.9, 1],
            ]
            let result = try Analysis.result("quantiles", parameters, events)
            var numbers: [String: [Double]] = [:]
            for event in events {
                if let number = event.fields[0]?.number { numbers[event.type, default: []].append(number) }
            }
            try check(try #require(result["all"]), numbers.values.flatMap { $0 }, "seed \(seed)")
            let groups = result["groups"]?.elements ?? []
            #expect(Set(groups.compactMap { $0["group"]?.text }) == Set(numbers.keys), "seed \(seed)")
            for group in groups {
                try check(group, numbers[group["group"]?.text ?? ""] ?? [], "seed \(seed)")
            }
            let without = events.count { $0.fields[0]?.number == nil }
            #expect(result["without_number"]?.integer == Int64(without))
            #expect(result["relative_error"] == 0.01)
        }
    }

    private func check(_ row: AnalysisValue, _ numbers: [Double], _ note: String) throws {
        #expect(row["count"]?.integer == Int64(numbers.count), "\(note)")
        #expect(row["min"]?.number == numbers.min() && row["max"]?.number == numbers.max(), "\(note)")
        for quantile in row["quantiles"]?.elements ?? [] {
            let share = try #require(quantile["share"]?.number)
            let found = try #require(quantile["value"]?.number)
            let exact = Exact.quantile(numbers, share)
            #expect(abs(found - exact) <= 0.01 * abs(exact), "\(note), share \(share)")
        }
    }

    @Test func `puts groups beyond the bound together, and says so`() throws {
        var limits = AnalysisLimits()
        limits.groupsMax = 2
        let events = (0..<6).map { number in
            AnalysisEvent(
                time: 0,
                type: "t",
                fields: [.number(Double(number)), number == 5 ? nil : .text("g\(number)")]
            )
        }
        let result = try Analysis.result("quantiles", ["field": "/n", "by": "/g"], events, limits: limits)
        let groups = result["groups"]?.elements ?? []
        #expect(groups.map { $0["count"]?.integer } == [1, 1, 1, 3])
        #expect(groups[2]["group"] == .null)
        #expect(groups[3]["others"] == true && groups[3]["max"] == 4.0)
        #expect(result["truncated"] == true)
        #expect(result["all"]?["count"] == 6)
    }

    @Test func `has nulls where there is no number`() throws {
        let result = try Analysis.result("quantiles", ["field": "/n"], [AnalysisEvent(time: 0, type: "t")])
        #expect(result["all"]?["count"] == 0)
        #expect(result["all"]?["min"] == .null)
        #expect(result["all"]?["quantiles"]?[0]?["value"] == .null)
        #expect(result["groups"] == .null)
    }
}
