import Events
import TestSupport
import Testing

@Suite struct `Timestamp text` {
    static func parse(_ text: String) -> Int64? { Timestamp.parse(Array(text.utf8).span) }

    static func format(_ microseconds: Int64) -> String {
        String(decoding: Timestamp.format(microseconds), as: UTF8.self)
    }

    // Skipped without ../shared/corpora beside the package.
    @Test(.enabled(if: Corpora.areThere)) func `is read as the corpus says`() throws {
        for line in try Corpora.lines("text/rfc3339.jsonl") {
            let value = try #require(line["value"] as? String)
            let parsed = Self.parse(value)
            if line["expect"] as? String == "valid" {
                let expected = try #require(line["epoch_ms"] as? Int64)
                // Floor, not truncation: the corpus counts down before 1970.
                #expect(parsed.map { ($0 - (($0 % 1000) + 1000) % 1000) / 1000 } == expected, "\(value)")
            } else {
                #expect(parsed == nil, "\(value)")
            }
        }
    }

    @Test func `keeps six digits of the fraction`() {
        #expect(Self.parse("1970-01-01T00:00:00.1234569Z") == 123_456)
        #expect(Self.parse("1969-12-31t23:59:59.9999999z") == -1)
        #expect(Self.parse("1970-01-01T00:00:00.5+00:00") == 500_000)
        #expect(Self.parse("1970-01-01T00:00:00-00:00") == 0)
    }

    @Test(arguments: [
        "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
        "2026-01-02T03:04:60Z",
        "2026-01-02 03:04:05Z", "2026-01-02T24:00:00Z", "2026-04-31T00:00:00Z", "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z", "2026-01-02T03:04:05+24:00", "2026-01-02T03:04:05+00:60",
        "1900-02-29T00:00:00Z",
        "2026-01-02T03:04:05,5Z", "2026-01-02T03:04:05", "+2026-01-02T03:04:05Z",
    ]) func `is refused`(text: String) {
        #expect(Self.parse(text) == nil)
    }

    @Test func `is written in UTC with six digits`() {
        #expect(Self.format(1_767_323_045_123_456) == "2026-01-02T03:04:05.123456Z")
        #expect(Self.format(-1) == "1969-12-31T23:59:59.999999Z")
        #expect(Self.format(.min) == "0001-01-01T00:00:00.000000Z")
        #expect(Self.format(.max) == "9999-12-31T23:59:59.999999Z")
    }

    @Test func `comes back from its own text`() {
        var random = SplitMix(seed: 3)
        for _ in 0..<20_000 {
            let value = Int64.random(in: Timestamp.range, using: &random)
            #expect(Self.parse(Self.format(value)) == value, "\(value)")
        }
    }
}
