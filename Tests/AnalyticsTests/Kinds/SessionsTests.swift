import Testing

@testable import Analytics

@Suite struct `Kind sessions` {
    private static let second: Int64 = 1_000_000

    private func event(_ seconds: Int64, _ subject: String?) -> AnalysisEvent {
        AnalysisEvent(time: seconds * Self.second, type: "t", subject: subject)
    }

    @Test func `ends a session when nothing has come for longer than the gap`() throws {
        let events = [
            event(0, "a"), event(5, "b"), event(10, "a"), event(20, "a"), event(31, "a"), event(32, nil),
            event(60, "b"), event(95, "c"),
        ]
        let result = try Analysis.result("sessions", ["gap": "10s"], events, to: 100 * Self.second)
        #expect(
            result.only("sessions", "open", "bounces", "subjects", "without_subject")
                == ["sessions": 5, "open": 1, "bounces": 4, "subjects": 3, "without_subject": 1]
        )
        #expect(result["bounce_share"] == 0.8)
        #expect(result["events_per_session"]?["max"] == 3.0)
        #expect(result["events_per_session"]?["mean"] == 1.4)
        #expect(result["seconds"]?["max"] == 20.0)
        #expect(result["seconds"]?["mean"] == 4.0)
        #expect(result["exact"] == true)
    }

    @Test func `finds what a list of each subject's events finds, also when there is room for few at a time`()
        throws
    {
        for seed in 0..<60 as Range<UInt64> {
            var random = SplitMix(seed: seed + 9)
            let events = MadeEvents(seed: seed, count: 800, subjects: 300).make()
            let gap = 20 + random.below(400)
            // Three hundred subjects do not fit into a table of some seventy at once, those of one gap do.
            var limits = AnalysisLimits()
            if seed % 2 == 0 { limits.subjectBytesMax = 4_000 }
            let end = (events.last?.time ?? 0) + 1
            let result = try Analysis.result(
                "sessions",
                ["gap": .text("\(gap)s")],
                events,
                to: end,
                limits: limits
            )
            let sessions = Exact.sessions(events, gap: Int64(gap) * Self.second)
            #expect(result["exact"] == true, "seed \(seed)")
            #expect(result["sessions"]?.integer == Int64(sessions.count), "seed \(seed)")
            #expect(result["bounces"]?.integer == Int64(sessions.count { $0.count == 1 }), "seed \(seed)")
            let open = sessions.count { end - ($0.last?.time ?? 0) <= Int64(gap) * Self.second }
            #expect(result["open"]?.integer == Int64(open), "seed \(seed)")
            let lengths = sessions.map { Double(($0.last?.time ?? 0) - $0[0].time) / 1_000_000 }
            #expect(result["seconds"]?["max"]?.number == lengths.max(), "seed \(seed)")
            for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
                let exact = Exact.quantile(lengths, share)
                let found = try #require(result["seconds"]?[name]?.number)
                #expect(abs(found - exact) <= 0.01 * exact, "seed \(seed), \(name)")
            }
        }
    }

    @Test func `samples subjects when more than fit are in a session at once, and is near the truth`() throws
    {
        var limits = AnalysisLimits()
        limits.subjectBytesMax = 20_000
        for seed in 1...8 as ClosedRange<UInt64> {
            var events: [AnalysisEvent] = []
            for round in 0..<4 as Range<Int64> {
                // Everybody within one gap, twice in each round; every fifth once.
                for number in 0..<5_000 { events.append(event(round * 1_000, "\(seed) \(number)")) }
                for number in 0..<5_000 where number % 5 != 0 {
                    events.append(event(round * 1_000 + 3, "\(seed) \(number)"))
                }
            }
            let result = try Analysis.result("sessions", ["gap": "10s"], events, limits: limits)
            let rate = try #require(result["sample"]?["rate"]?.number)
            #expect(rate < 0.1 && result["exact"] == false)
            let found = try #require(result["sessions"]?.number)
            // Four sessions of each subject in the sample.
            let error = 4 * (5_000 * (1 / rate - 1)).squareRoot()
            #expect(abs(found - 20_000) <= 4 * error, "seed \(seed): \(found)")
            let share = try #require(result["bounce_share"]?.number)
            #expect(abs(share - 0.2) < 0.1, "seed \(seed): \(share)")
            let subjects = try #require(result["subjects"]?.number)
            #expect(abs(subjects - 5_000) <= 5_000 * 4 * 0.01625, "seed \(seed): \(subjects)")
        }
    }
}
