import Events
import TestSupport
import Testing

@testable import Insight

@Suite struct `An event cursor` {
    @Test func `reads back as it was written`() {
        var random = SplitMix(seed: 1)
        for round in 0..<1_000 {
            let time = Int64.random(in: Timestamp.range, using: &random)
            let key = UInt128(random.next()) << 64 | UInt128(random.next())
            let cursor = EventCursor(time: time, key: key)
            #expect(cursor.text.utf8.count == 36, "round \(round)")
            #expect(EventCursor(text: cursor.text) == cursor, "round \(round): \(cursor.text)")
        }
    }

    @Test func `goes into a URL without escapes`() {
        var random = SplitMix(seed: 2)
        for round in 0..<200 {
            let cursor = EventCursor(time: Int64(round), key: UInt128(random.next()))
            #expect(cursor.text.wholeMatch(of: /[A-Za-z0-9_-]+/) != nil)
        }
    }

    @Test func `is none when any character of it is another`() {
        let text = EventCursor(time: 1_790_000_000_000_000, key: 0x0199_0000_7000_8000_0000).text
        for index in text.indices {
            var broken = text
            broken.replaceSubrange(index...index, with: text[index] == "A" ? "B" : "A")
            #expect(EventCursor(text: broken) == nil, "\(broken)")
        }
    }

    @Test(arguments: [
        "", "x", "AAAA", String(repeating: "A", count: 36), String(repeating: "=", count: 36), "é",
    ])
    func `is none in other text`(text: String) {
        #expect(EventCursor(text: text) == nil)
    }
}
