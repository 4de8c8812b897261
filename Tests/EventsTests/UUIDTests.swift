import Events
import TestSupport
import Testing

@Suite struct `UUID text` {
    // Skipped without ../shared/corpora beside the package.
    @Test(.enabled(if: Corpora.areThere)) func `is read as the corpus says and comes back in lower case`()
        throws
    {
        for line in try Corpora.lines("text/uuid.jsonl") {
            let value = try #require(line["value"] as? String)
            let parsed = parseUUID(Array(value.utf8).span)
            #expect((parsed != nil) == (line["expect"] as? String == "valid"), "\(value)")
            if let parsed {
                #expect(String(decoding: formatUUID(parsed), as: UTF8.self) == value.lowercased())
            }
        }
    }

    @Test func `is refused when any character is not of a UUID`() {
        let text = Array("0199b2c3-d4e5-7f60-8a9b-0c1d2e3f4a5b".utf8)
        for place in text.indices {
            for byte in [
                UInt8(ascii: "g"), UInt8(ascii: "/"), UInt8(ascii: ":"), UInt8(ascii: "@"), 0x17, 0xFF, 0x20,
            ] {
                var broken = text
                broken[place] = byte
                #expect(parseUUID(broken.span) == nil, "\(place) \(byte)")
            }
        }
    }
}

@Suite struct `UUIDv7 generator` {
    @Test func `puts the time, the version and the variant in place`() {
        var ids = UUIDv7Generator(seed: 5)
        for milliseconds in [0, 1, 1_767_323_045_123, 1 << 48 - 1] as [Int64] {
            let uuid = ids.next(microseconds: milliseconds * 1000 + 999)
            #expect(UUIDv7Generator.microseconds(of: uuid) == milliseconds * 1000)
            let text = formatUUID(uuid)
            #expect(text[14] == UInt8(ascii: "7"))
            #expect("89ab".utf8.contains(text[19]))
        }
    }

    @Test func `goes up whatever the clock does`() {
        for seed in 0..<50 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            var ids = UUIDv7Generator(seed: seed)
            var last: UInt128 = 0
            var clock: Int64 = 1_767_323_045_000_000
            for _ in 0..<500 {
                clock += Int64.random(in: -5000...2000, using: &random)
                let next = ids.next(microseconds: clock)
                #expect(next > last, "seed \(seed)")
                #expect(UUIDv7Generator.microseconds(of: next) != nil)
                last = next
            }
        }
    }

    @Test func `differs between generators and repeats for a seed`() {
        var first = UUIDv7Generator()
        var second = UUIDv7Generator()
        #expect(first.next(microseconds: 1) != second.next(microseconds: 1))
        var third = UUIDv7Generator(seed: 9)
        var fourth = UUIDv7Generator(seed: 9)
        #expect(third.next(microseconds: 1) == fourth.next(microseconds: 1))
    }

    @Test func `finds no time in a UUID of another version`() throws {
        let parsed = parseUUID(Array("8e766808-a21b-4370-9ad1-b400a2f0e828".utf8).span)
        #expect(UUIDv7Generator.microseconds(of: try #require(parsed)) == nil)
    }
}
