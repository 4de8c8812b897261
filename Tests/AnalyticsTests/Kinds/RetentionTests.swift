import Testing

@testable import Analytics

@Suite struct `Kind retention` {
    private static let day: Int64 = 86_400_000_000
    private static let hour: Int64 = 3_600_000_000

    private func event(_ hours: Int64, _ subject: String?, _ type: String = "t") -> AnalysisEvent {
        AnalysisEvent(time: hours * Self.hour, type: type, subject: subject)
    }

    @Test func `has a row for each cohort and a column for each period, up to the end of the range`() throws {
        let events = [
            event(1, "a"), event(2, "b"), event(25, "a"), event(26, "c"), event(27, nil), event(49, "a"),
            event(50, "c"), event(51, "c"), event(73, "b"),
        ]
        let result = try Analysis.result(
            "retention",
            ["periods": 3],
            events,
            to: 3 * Self.day + 2 * Self.hour
        )
        #expect(
            result["cohorts"] == [
                ["from": "1970-01-01T00:00:00Z", "subjects": [2, 1, 1]],
                ["from": "1970-01-02T00:00:00Z", "subjects": [1, 1, 0]],
            ]
        )
        #expect(result["without_subject"] == 1)
        #expect(result["exact"] == true)
        let short = try Analysis.result(
            "retention",
            ["periods": 3],
            Array(events.prefix(5)),
            to: 2 * Self.day
        )
        #expect(short["cohorts"]?[1]?["subjects"] == [1], "the third day is not of the range")
        #expect(short["cohorts"]?[0]?["subjects"] == [2, 1])
    }

    @Test func `lets weeks begin on Monday, and a range begin in the middle of one`() throws {
        // The first of January 1970 was a Thursday.
        let result = try Analysis.result(
            "retention",
            ["period": "week"],
            [event(0, "a"), event(95, "b"), event(96, "b")],
            to: 14 * Self.day
        )
        #expect(
            result["cohorts"] == [["from": "1969-12-29T00:00:00Z", "subjects": [2, 1, 0]]]
        )
    }

    @Test func `can take a type for the first event and another for a return`() throws {
        let events = [
            event(0, "a", "open"), event(1, "a", "join"), event(30, "a", "open"), event(31, "b", "open"),
            event(32, "b", "join"), event(60, "a", "join"), event(61, "b", "open"),
        ]
        let parameters: [String: AnalysisValue] = ["first": "join", "return": "open", "periods": 3]
        let result = try Analysis.result("retention", parameters, events, to: 3 * Self.day)
        #expect(result["cohorts"]?[0]?["subjects"] == [1, 1, 0])
        #expect(result["cohorts"]?[1]?["subjects"] == [1, 1])
        #expect(try Analysis.make("retention", parameters, to: Self.day).needs.types == ["join", "open"])
        #expect(try Analysis.make("retention", ["first": "join"], to: Self.day).needs.types == [])
    }

    @Test func `finds what sets of periods find`() throws {
        let types: [String?] = [nil, "view", "cart"]
        for seed in 0..<60 as Range<UInt64> {
            var random = SplitMix(seed: seed + 500)
            let start = -Int64(random.below(100)) * Self.hour
            let events = MadeEvents(seed: seed, pauseMax: 2_000_000_000, start: start).make()
            let end = (events.last?.time ?? 0) + 1
            let (first, returning) = (types[random.below(3)], types[random.below(3)])
            let columns = 1 + random.below(20)
            let isWeekly = random.below(2) == 0
            var parameters: [String: AnalysisValue] = [
                "period": isWeekly ? "week" : "day", "periods": .integer(Int64(columns)),
            ]
            parameters["first"] = first.map { .text($0) }
            parameters["return"] = returning.map { .text($0) }
            let result = try Analysis.result("retention", parameters, events, from: start, to: end)
            let period = isWeekly ? 7 * Self.day : Self.day
            let origin = (isWeekly ? 4 : 0) * Self.day - 1_000 * period
            let table = Exact.retention(
                events,
                start: origin,
                period: period,
                columns: columns,
                first: first,
                returning: returning
            )
            let last = Int((end - 1 - origin) / period)
            let expected = table.sorted { $0.key < $1.key }.map { cohort, row -> AnalysisValue in
                [
                    "from": .time(origin + Int64(cohort) * period),
                    "subjects": .list(row.prefix(last - cohort + 1).map { .integer($0) }),
                ]
            }
            #expect(result["cohorts"] == .list(expected), "seed \(seed)")
        }
    }

    @Test func `refuses more periods than it holds`() throws {
        #expect(throws: ParameterError("/period", "the range has 500 of them, 400 are allowed")) {
            try Analysis.make("retention", ["period": "hour"], to: 500 * Self.hour)
        }
    }

    @Test func `samples subjects beyond its bound, says so, and is near the truth`() throws {
        var limits = AnalysisLimits()
        limits.subjectBytesMax = 20_000
        for seed in 1...8 as ClosedRange<UInt64> {
            var random = SplitMix(seed: seed)
            let names = (0..<10_000).map { "\(seed) \($0)" }
            let back = names.filter { _ in random.below(4) == 0 }
            let events = names.map { event(1, $0) } + back.map { event(30, $0) }
            let result = try Analysis.result("retention", [:], events, to: 2 * Self.day, limits: limits)
            let rate = try #require(result["sample"]?["rate"]?.number)
            #expect(rate < 0.1 && result["exact"] == false)
            for (column, exact) in [(0, 10_000), (1, Double(back.count))] {
                let found = try #require(result["cohorts"]?[0]?["subjects"]?[column]?.number)
                let error = (exact * (1 / rate - 1)).squareRoot()
                #expect(abs(found - exact) <= 4 * error, "seed \(seed): \(found) for \(exact)")
            }
        }
    }
}
