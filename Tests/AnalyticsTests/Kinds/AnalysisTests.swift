import Testing

@testable import Analytics

@Suite struct `One analysis` {
    @Test func `is of one of eight kinds`() throws {
        let names = Analysis.kinds.map { $0.name }
        #expect(
            names == [
                "anomalies", "correlate", "funnel", "paths", "quantiles", "retention", "sessions", "top",
            ]
        )
        #expect(try Analysis(kind: "guess", parameters: [:]) { Int64($0) } == nil)
    }

    @Test func `takes events of its range only, and none before the last`() throws {
        var analysis = try Analysis.make("top", [:], from: 10, to: 20)
        try analysis.add(AnalysisEvent(time: 10, type: "a"))
        try analysis.add(AnalysisEvent(time: 15, type: "a"))
        try analysis.add(AnalysisEvent(time: 15, type: "a"))
        #expect(throws: Analysis.OrderError.beforeTheLast(time: 14, last: 15)) {
            try analysis.add(AnalysisEvent(time: 14, type: "a"))
        }
        for time in [9, 20] as [Int64] {
            #expect(throws: Analysis.OrderError.outsideOfRange(time: time)) {
                try analysis.add(AnalysisEvent(time: time, type: "a"))
            }
        }
        #expect(analysis.events == 3)
        #expect(analysis.result()["events"] == 3)
        #expect(analysis.result()["total"] == 3)
    }

    @Test func `knows how much of its range lies behind`() throws {
        var analysis = try Analysis.make("top", [:], from: 1_000, to: 2_000)
        #expect(analysis.progress == 0)
        try analysis.add(AnalysisEvent(time: 1_250, type: "a"))
        #expect(analysis.progress == 0.25)
        try analysis.add(AnalysisEvent(time: 1_999, type: "a"))
        #expect(analysis.progress == 0.999)
    }

    @Test func `has the same result whenever it is asked for in between`() throws {
        for (kind, parameters) in CorpusTests.questions {
            let events = MadeEvents(seed: 3).make()
            var asked = try Analysis.make(kind, parameters)
            for (number, event) in events.enumerated() {
                try asked.add(event)
                if number % 97 == 0 { _ = asked.result() }
            }
            #expect(try asked.result() == Analysis.result(kind, parameters, events), "\(kind)")
        }
    }

    @Test func `has a result without any event`() throws {
        for (kind, parameters) in CorpusTests.questions {
            let result = try Analysis.result(kind, parameters, [])
            #expect(result["events"] == 0, "\(kind)")
            #expect(result["truncated"] == false, "\(kind)")
        }
    }

    /// Whatever a kind says at its bounds, it says these two things.
    @Test func `says whether its result is exact and whether it is whole`() throws {
        for (kind, parameters) in CorpusTests.questions {
            let result = try Analysis.result(kind, parameters, MadeEvents(seed: 8).make())
            guard case .flag? = result["exact"], case .flag? = result["truncated"] else {
                Issue.record("\(kind) does not say")
                continue
            }
        }
    }

    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (1_767_323_045_123_456, "2026-01-02T03:04:05.123456Z"),
            (-1, "1969-12-31T23:59:59.999999Z"), (951_782_400_500_000, "2000-02-29T00:00:00.5Z"),
            (-62_167_219_200_000_000, "0000-01-01T00:00:00Z"),
        ] as [(Int64, String)]
    )
    func `writes times as RFC 3339`(microseconds: Int64, text: String) {
        #expect(AnalysisValue.time(microseconds) == .text(text))
    }
}

@Suite struct `Table of subjects` {
    @Test func `never holds more than its bound, and always the same sample for the same level`() {
        for seed in 0..<30 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            var table = SubjectTable<Int>(bytesMax: 32 * (10 + random.below(100)))
            var seen: [UInt64] = []
            for number in 0..<2_000 {
                let hash = random.next()
                seen.append(hash)
                let position = table.insert(hash, number)
                #expect(table.count <= table.capacity, "seed \(seed)")
                #expect(position == table.position(of: hash), "seed \(seed)")
            }
            // All of the sample are there, each with its own state, and no others.
            let sample = seen.enumerated().filter { $0.element.leadingZeroBitCount >= table.level }
            #expect(table.count == sample.count, "seed \(seed)")
            for (number, hash) in sample {
                let position = table.position(of: hash)
                #expect(position.map { table.states[$0] } == number, "seed \(seed)")
            }
            #expect(table.level > 0 && table.weight == 1 << Int64(table.level))
        }
    }

    @Test func `forgets what is not to be kept and finds the rest`() {
        var table = SubjectTable<Int>(bytesMax: 1 << 20)
        for number in 0..<1_000 { _ = table.insert(UInt64(number), number) }
        table.retain { _, state in state % 3 == 0 }
        #expect(table.count == 334)
        for number in 0..<1_000 {
            let position = table.position(of: UInt64(number))
            #expect(position.map { table.states[$0] } == (number % 3 == 0 ? number : nil))
        }
        #expect(table.level == 0)
    }
}
