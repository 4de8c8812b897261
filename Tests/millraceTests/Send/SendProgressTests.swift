import Testing

@testable import millrace

@Suite struct `The pace` {
    @Test func `tells the time left from the bytes of the last seconds`() {
        var pace = SendPace()
        #expect(pace.timeLeft(of: 100) == nil)
        for second in 0...100 {
            pace.note(bytes: second * 1_000, events: second * 10, at: .seconds(second))
        }
        #expect(pace.eventsPerSecond == 10)
        #expect(pace.timeLeft(of: 160_000) == .seconds(60))
        #expect(pace.timeLeft(of: 50_000) == .zero)

        for second in 101...120 {
            pace.note(bytes: 100_000 + (second - 100) * 100, events: second, at: .seconds(second))
        }
        #expect(pace.timeLeft(of: 103_000) == .seconds(10))
    }

    @Test func `tells no time left before it has seen a second, nor when nothing moves`() {
        var pace = SendPace()
        pace.note(bytes: 500, events: 5, at: .milliseconds(999))
        #expect(pace.timeLeft(of: 1_000) == nil)
        #expect(pace.eventsPerSecond == 5)
        for second in 1...30 { pace.note(bytes: 500, events: 5, at: .seconds(second)) }
        #expect(pace.timeLeft(of: 1_000) == nil)
        #expect(pace.eventsPerSecond == 0)
    }

    @Test func `forgets how fast lines were skipped`() {
        var pace = SendPace()
        pace.note(bytes: 1_000_000, events: 0, at: .seconds(2))
        pace.restart()
        #expect(pace.timeLeft(of: 2_000_000) == nil)
        pace.note(bytes: 1_002_000, events: 20, at: .seconds(4))
        #expect(pace.eventsPerSecond == 10)
        #expect(pace.timeLeft(of: 1_003_000) == .seconds(1))
    }
}

@Suite struct `The progress line` {
    private let progress = SendProgress(
        totals: SendTotals(read: 12_345, stored: 12_000, duplicates: 300, rejected: 5),
        fraction: 0.42,
        eventsPerSecond: 4_321,
        timeLeft: .milliseconds(61_001)
    )

    @Test func `leaves out what fits not, and never fills a line`() {
        let full =
            "[============>                 ]   42 %  12,305 events  4,321/s  1:02 left"
            + "  300 duplicates, 5 rejected"
        #expect(progress.line(columns: 200) == full)
        #expect(progress.line(columns: full.count + 1) == full)
        #expect(
            progress.line(columns: 79)
                == "[============>                 ]   42 %  12,305 events  4,321/s  1:02 left"
        )
        #expect(progress.line(columns: 60) == "[====>     ]   42 %  12,305 events  4,321/s  1:02 left")
        #expect(progress.line(columns: 45) == " 42 %  12,305 events  4,321/s  1:02 left")
        #expect(progress.line(columns: 30) == " 42 %  4,321/s  1:02 left")
        #expect(progress.line(columns: 20) == " 42 %  1:02 left")
        #expect(progress.line(columns: 10) == " 42 %")
        for columns in 0...200 { #expect(progress.line(columns: columns).count <= max(0, columns - 1)) }
    }

    @Test func `has neither bar nor time left when nobody knows how much there is`() {
        let unknown = SendProgress(
            totals: SendTotals(stored: 1),
            fraction: nil,
            eventsPerSecond: 2,
            timeLeft: nil
        )
        #expect(unknown.line(columns: 80) == "1 events  2/s")
        #expect(unknown.sentence == "1 events acknowledged, 2/s")
        #expect(
            progress.sentence
                == "42 %, 12,305 events acknowledged, 4,321/s, 1:02 left, 300 duplicates, 5 rejected"
        )
    }

    @Test func `has an empty bar at the start and a full one at the end`() {
        var progress = progress
        progress.fraction = 0
        #expect(progress.line(columns: 80).hasPrefix("[>                             ]    0 %"))
        progress.fraction = 1
        #expect(progress.line(columns: 80).hasPrefix("[==============================]  100 %"))
    }

    @Test func `tells times as clocks do, rounded up`() {
        let seconds: [Double] = [0, 0.2, 59, 60, 61, 3_599, 3_600, 36_061, 359_999, 360_000]
        #expect(
            seconds.map { SendProgress.clock(.seconds($0)) } == [
                "0:00", "0:01", "0:59", "1:00", "1:01", "59:59", "1:00:00", "10:01:01", "99:59:59",
                "more than 100 hours",
            ]
        )
    }
}

@Suite struct `The meter` {
    @Test func `counts an input that has grown or could not be read as what was read of it`() {
        let meter = SendMeter(bytesTotal: 100)
        meter.noteRead(bytes: 50)
        #expect(meter.reading.fraction == 0.5)
        meter.noteEnd(bytes: 50, of: 80)
        #expect(meter.reading.bytesTotal == 70)
        meter.noteRead(bytes: 71)
        #expect(meter.reading.fraction == 1)
        #expect(SendMeter().reading.fraction == nil)
        #expect(SendMeter(bytesTotal: 0).reading.fraction == 1)
        #expect(SendMeter([.standardInput]).reading.bytesTotal == nil)
    }
}
