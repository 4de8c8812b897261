import Testing

@testable import Analytics

@Suite struct `Kind funnel` {
    private static let second: Int64 = 1_000_000

    private func event(
        _ seconds: Int64,
        _ type: String,
        _ subject: String?,
        _ plan: String? = nil
    ) -> AnalysisEvent {
        AnalysisEvent(
            time: seconds * Self.second,
            type: type,
            subject: subject,
            fields: [plan.map { .text($0) }]
        )
    }

    private func counts(_ result: AnalysisValue) -> [Int64] {
        (result["steps"]?.elements ?? []).compactMap { $0["subjects"]?.integer }
    }

    @Test func `counts whom each step has been reached by, in order and within the window`() throws {
        let events = [
            event(0, "view", "a"), event(1, "pay", "a"), event(5, "cart", "a"), event(9, "pay", "a"),
            event(10, "view", "b"), event(11, "cart", "b"), event(31, "pay", "b"),
            event(40, "cart", "c"), event(41, "pay", "c"), event(42, "view", nil),
        ]
        let result = try Analysis.result(
            "funnel",
            ["steps": ["view", "cart", "pay"], "window": "10s"],
            events
        )
        #expect(counts(result) == [2, 2, 1])
        #expect(result["steps"]?[2]?["share"] == 0.5)
        #expect(result["steps"]?[2]?["share_of_previous"] == 0.5)
        #expect(result["seconds"]?["p50"] == 9.0)
        #expect(result["without_subject"] == 1)
        #expect(result["events"] == 10)
        #expect(result["exact"] == true)
    }

    @Test func `lets a later start take the place of an earlier one`() throws {
        let events = [event(0, "a", "x"), event(8, "a", "x"), event(9, "b", "x"), event(17, "c", "x")]
        let result = try Analysis.result("funnel", ["steps": ["a", "b", "c"], "window": "10s"], events)
        #expect(counts(result) == [1, 1, 1])
        #expect(result["seconds"]?["max"] == 9.0)
    }

    @Test func `takes one event for one step, also where a type is named twice`() throws {
        let steps: AnalysisValue = ["a", "a", "a"]
        let twice = [event(0, "a", "x"), event(1, "a", "x")]
        #expect(counts(try Analysis.result("funnel", ["steps": steps], twice)) == [1, 1, 0])
        let thrice = twice + [event(1, "a", "x")]
        #expect(counts(try Analysis.result("funnel", ["steps": steps], thrice)) == [1, 1, 1])
    }

    @Test func `asks for the types of its steps alone, each once`() throws {
        let needs = try Analysis.make("funnel", ["steps": ["a", "b", "a"], "segment": "/plan"]).needs
        #expect(needs.types == ["a", "b"])
        #expect(needs.fields == ["/plan"])
    }

    @Test func `tells segments apart by the event of the first step, and sums up those beyond the bound`()
        throws
    {
        var limits = AnalysisLimits()
        limits.groupsMax = 2
        let events = [
            event(0, "a", "u", "free"), event(1, "a", "v", "paid"), event(2, "b", "u", "paid"),
            event(3, "a", "w"), event(4, "a", "x", "third"), event(5, "a", "y", "fourth"), event(6, "b", "y"),
        ]
        let parameters: [String: AnalysisValue] = ["steps": ["a", "b"], "segment": "/plan"]
        let result = try Analysis.result("funnel", parameters, events, limits: limits)
        #expect(
            result["segments"] == [
                ["segment": "free", "subjects": [1, 1]], ["segment": "paid", "subjects": [1, 0]],
                ["segment": nil, "subjects": [1, 0]], ["others": true, "subjects": [2, 1]],
            ]
        )
        #expect(result["truncated"] == true)
        #expect(result["exact"] == false)
        let whole = try Analysis.result("funnel", parameters, events)
        #expect(whole["truncated"] == false)
        #expect(whole["segments"]?.elements.count == 5)
    }

    @Test func `finds what trying every start finds`() throws {
        let choices = [
            ["view", "cart", "pay"], ["view", "view", "cart"], ["view"], ["cart", "view", "cart", "view"],
        ]
        for seed in 0..<60 as Range<UInt64> {
            let events = MadeEvents(seed: seed).make()
            var random = SplitMix(seed: seed + 1_000)
            let steps = choices[random.below(choices.count)]
            let seconds = 10 + random.below(3_000)
            let result = try Analysis.result(
                "funnel",
                ["steps": .list(steps.map { .text($0) }), "window": .text("\(seconds)s")],
                events
            )
            let expected = Exact.funnel(events, steps: steps, window: Int64(seconds) * Self.second)
            #expect(counts(result) == expected, "seed \(seed), \(steps), \(seconds) s")
        }
    }

    @Test func `samples subjects beyond its bound, says so, and is near the truth`() throws {
        var limits = AnalysisLimits()
        limits.subjectBytesMax = 400 * 200
        for seed in 1...8 as ClosedRange<UInt64> {
            var random = SplitMix(seed: seed)
            // Every subject views; every third carts.
            let names = (0..<9_000).map { "\(seed) \($0)" }
            let views = names.map { event(1, "view", $0) }
            let carts = names.filter { _ in random.below(3) == 0 }.map { event(2, "cart", $0) }
            let result = try Analysis.result(
                "funnel",
                ["steps": ["view", "cart"]],
                views + carts,
                limits: limits
            )
            let rate = try #require(result["sample"]?["rate"]?.number)
            let held = try #require(result["sample"]?["subjects"]?.integer)
            #expect(rate < 0.1 && result["exact"] == false, "seed \(seed)")
            #expect(held <= 80_000 / 160, "seed \(seed): more than the bound allows")
            for (found, exact) in zip(counts(result), [9_000, Double(carts.count)]) {
                let error = (exact * (1 / rate - 1)).squareRoot()
                #expect(abs(Double(found) - exact) <= 4 * error, "seed \(seed): \(found) for \(exact)")
            }
        }
    }
}
