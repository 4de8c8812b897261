import Testing

@testable import Analytics

@Suite struct `Kind paths` {
    private func found(_ result: AnalysisValue) -> [[String]: Int64] {
        var found: [[String]: Int64] = [:]
        for row in result["paths"]?.elements ?? [] {
            let types = row["types"]?.elements.map { $0.text ?? "(other)" } ?? []
            found[types] = row["count"]?.integer
        }
        return found
    }

    @Test func `counts every run of so many types without a pause longer than the gap`() throws {
        let types = ["a", "b", "b", "c", "a", "b"]
        let times: [Int64] = [0, 5, 10, 15, 40, 45]
        let events = zip(types, times).map { AnalysisEvent(time: $1 * 1_000_000, type: $0, subject: "x") }
        let parameters: [String: AnalysisValue] = ["length": 2, "gap": "10s"]
        let collapsed = try Analysis.result("paths", parameters, events)
        #expect(found(collapsed) == [["a", "b"]: 2, ["b", "c"]: 1])
        #expect(collapsed["paths"]?[0]?["types"] == ["a", "b"])
        let whole = try Analysis.result("paths", parameters.merging(["collapse": false]) { $1 }, events)
        #expect(found(whole) == [["a", "b"]: 2, ["b", "b"]: 1, ["b", "c"]: 1])
        #expect(whole["exact"] == true && whole["truncated"] == false)
    }

    @Test func `finds what a list of each subject's sessions finds`() throws {
        for seed in 0..<60 as Range<UInt64> {
            var random = SplitMix(seed: seed + 77)
            let events = MadeEvents(seed: seed, count: 800, subjects: 200).make()
            let (length, gap) = (2 + random.below(7), 20 + random.below(400))
            let collapse = random.below(2) == 0
            var limits = AnalysisLimits()
            if seed % 2 == 0 { limits.subjectBytesMax = 6_000 }
            let result = try Analysis.result(
                "paths",
                [
                    "length": .integer(Int64(length)), "gap": .text("\(gap)s"), "collapse": .flag(collapse),
                    "limit": 1_000,
                ],
                events,
                limits: limits
            )
            let exact = Exact.paths(events, length: length, gap: Int64(gap) * 1_000_000, collapse: collapse)
            #expect(result["exact"] == true, "seed \(seed)")
            #expect(
                found(result) == exact,
                "seed \(seed), length \(length), gap \(gap), collapse \(collapse)"
            )
        }
    }

    @Test func `keeps to its bounds with fewer counters than paths`() throws {
        var limits = AnalysisLimits()
        limits.countersMax = 20
        for seed in 0..<20 as Range<UInt64> {
            let events = MadeEvents(seed: seed, count: 2_000, subjects: 5, pauseMax: 1_000_000).make()
            let result = try Analysis.result("paths", ["limit": 10], events, limits: limits)
            let exact = Exact.paths(events, length: 3, gap: 1_800_000_000, collapse: true)
            for row in result["paths"]?.elements ?? [] {
                let types = row["types"]?.elements.compactMap(\.text) ?? []
                let (count, error) = (row["count"]?.integer ?? 0, row["error"]?.integer ?? 0)
                let truth = exact[types] ?? 0
                #expect(count - error <= truth && truth <= count, "seed \(seed), \(types)")
            }
            #expect(result["exact"] == false && result["truncated"] == true, "seed \(seed)")
        }
    }

    @Test func `takes types beyond the bound for one, and says so`() throws {
        var limits = AnalysisLimits()
        limits.namesMax = 2
        let events = ["a", "b", "c", "d"].map { AnalysisEvent(time: 0, type: $0, subject: "x") }
        let result = try Analysis.result("paths", ["length": 2, "collapse": false], events, limits: limits)
        #expect(found(result) == [["a", "b"]: 1, ["b", "(other)"]: 1, ["(other)", "(other)"]: 1])
        #expect(result["exact"] == false && result["truncated"] == true)
    }

    @Test func `samples subjects when more than fit are on a path at once, and is near the truth`() throws {
        var limits = AnalysisLimits()
        limits.subjectBytesMax = 30_000
        for seed in 1...8 as ClosedRange<UInt64> {
            let names = (0..<8_000).map { "\(seed) \($0)" }
            let events = ["a", "b"].flatMap { type in
                names.map { AnalysisEvent(time: 0, type: type, subject: $0) }
            }
            let result = try Analysis.result("paths", ["length": 2], events, limits: limits)
            let rate = try #require(result["sample"]?["rate"]?.number)
            #expect(rate < 0.2 && result["exact"] == false)
            let error = (8_000 * (1 / rate - 1)).squareRoot()
            let count = try #require(found(result)[["a", "b"]])
            #expect(abs(Double(count) - 8_000) <= 4 * error, "seed \(seed): \(count)")
        }
    }
}
