import Testing

@testable import Analytics

@Suite struct `Rollup key` {
    @Test(
        arguments: [
            (0, 0), (59_999_999, 0), (60_000_000, 60_000_000), (-1, -60_000_000), (-60_000_000, -60_000_000),
            (-60_000_001, -120_000_000), (1_767_323_045_123_456, 1_767_323_040_000_000),
        ] as [(Int64, Int64)]
    )
    func `rounds down to the minute, also before 1970`(time: Int64, minute: Int64) {
        #expect(RollupKey.minute(of: time) == minute)
        #expect(RollupKey(minute: time, type: "t", source: "s").minute == minute)
    }

    @Test func `does not trap at the ends of time`() {
        #expect(RollupKey.minute(of: .max) <= .max)
        #expect(RollupKey.minute(of: .min) % RollupKey.microsecondsPerMinute == 0)
    }

    @Test func `tells composed from decomposed letters`() {
        let composed = RollupKey(minute: 0, type: "caf\u{e9}", source: "/")
        let decomposed = RollupKey(minute: 0, type: "cafe\u{301}", source: "/")
        #expect(composed != decomposed)
        #expect(Set([composed, decomposed]).count == 2)
        #expect(composed > decomposed)
    }

    @Test func `sorts by minute, then by the bytes of type and source`() {
        let keys = [
            RollupKey(minute: -60_000_000, type: "z", source: "z"),
            RollupKey(minute: 0, type: "B", source: "b"),
            RollupKey(minute: 0, type: "a", source: "B"), RollupKey(minute: 0, type: "a", source: "a"),
            RollupKey(minute: 0, type: "ab", source: ""), RollupKey(minute: 60_000_000, type: "", source: ""),
        ]
        #expect(keys.shuffled().sorted() == keys)
    }
}

@Suite struct `Fields of a rollup` {
    private func sketch(_ values: Double...) -> QuantileSketch {
        var sketch = QuantileSketch()
        for value in values { sketch.insert(value) }
        return sketch
    }

    @Test func `are found by name and listed in order`() {
        var fields = FieldSketches()
        fields.merge(sketch(1), into: "/total")
        fields.merge(sketch(2), into: "/b")
        fields.merge(sketch(3), into: "/a")
        fields.merge(sketch(4), into: "/b")
        #expect(fields.map(\.name) == ["/a", "/b", "/total"])
        #expect(fields["/b"]?.sum == 6)
        #expect(fields["/c"] == nil)
        #expect(fields.count == 3)
    }

    @Test func `are the 32 shortest names, and the rest is counted`() {
        var fields = FieldSketches()
        for index in 0..<40 { fields.merge(sketch(1, 2, .nan), into: "/tags/\(1_000 - index)") }
        fields.merge(sketch(5), into: "/price")
        fields.merge(sketch(5), into: "/" + String(repeating: "x", count: RollupLimits.fieldNameBytesMax))
        #expect(fields.count == 32)
        #expect(fields.first?.name == "/price")
        #expect(fields["/tags/991"]?.count == 2 && fields["/tags/992"] == nil)
        #expect(fields.omitted == Int64(9 * 3 + 1))
    }

    /// Values split over several rollups, merged in several orders, against all of them in one.
    @Test func `are the same whatever the order of values and merges`() {
        for seed in 0..<60 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            let values = (0..<300).map { _ in ("/\(random.below(90))", Double(random.below(50))) }
            func fields(_ values: some Sequence<(String, Double)>) -> FieldSketches {
                var fields = FieldSketches()
                for (name, value) in values { fields.merge(sketch(value), into: name) }
                return fields
            }
            let cuts = [0, random.below(300), random.below(300), 300].sorted()
            var parts = zip(cuts, cuts.dropFirst()).map { fields(values[$0..<$1]) }
            parts.shuffle(using: &random)
            var merged = parts[0]
            merged.merge(parts[1])
            merged.merge(parts[2])
            #expect(merged == fields(values), "seed \(seed)")
            #expect(merged == fields(values.shuffled(using: &random)), "seed \(seed)")
            #expect(merged.reduce(merged.omitted) { $0 + $1.sketch.count } == 300, "seed \(seed)")
        }
    }

    @Test func `have bytes that give them back and that are refused out of order`() throws {
        var fields = FieldSketches()
        for name in ["/a", "/b", "/longer"] { fields.merge(sketch(1, -2), into: name) }
        let bytes = fields.encode()
        #expect(try FieldSketches.decode(bytes.span) == fields)
        for cut in 0..<bytes.count {
            let part = Array(bytes[..<cut])
            #expect(throws: CodecError.self, "cut at \(cut)") { try FieldSketches.decode(part.span) }
        }
        let swapped = bytes.map { $0 == UInt8(ascii: "a") ? UInt8(ascii: "c") : $0 }
        let error = #expect(throws: CodecError.self) { try FieldSketches.decode(swapped.span) }
        #expect(error?.reason == .order)
    }
}

/// One event as a test writes it.
struct Sample: Sendable {
    var time: Int64
    var type: String
    var source: String
    var subject: String?
    var numbers: [(String, Double)]

    static func random(_ random: inout SplitMix) -> Sample {
        Sample(
            time: Int64(random.below(5)) * 50_000_000 - 100_000_000,
            type: "type.\(random.below(4))",
            source: "/source/\(random.below(3))",
            subject: random.below(4) == 0 ? nil : "user \(random.below(30))",
            numbers: (0..<random.below(4)).map { _ in
                ("/field/\(random.below(45))", Double(random.below(1_000)))
            }
        )
    }
}

extension RollupAccumulator {
    mutating func add(_ sample: Sample) {
        let (type, source) = (Array(sample.type.utf8), Array(sample.source.utf8))
        if let subject = sample.subject.map({ Array($0.utf8) }) {
            add(time: sample.time, type: type.span, source: source.span, subject: subject.span)
        } else {
            add(time: sample.time, type: type.span, source: source.span, subject: nil)
        }
        for (name, value) in sample.numbers {
            let bytes = Array(name.utf8)
            add(field: bytes.span, value: value)
        }
    }

    static func rollups(_ samples: some Sequence<Sample>) -> [RollupKey: Rollup] {
        var accumulator = RollupAccumulator()
        for sample in samples { accumulator.add(sample) }
        return accumulator.rollups
    }
}

@Suite struct `Rollup accumulator` {
    /// What it should find, in the plainest way.
    private func expected(_ samples: [Sample]) -> [RollupKey: Rollup] {
        var rollups: [RollupKey: Rollup] = [:]
        for sample in samples {
            var one = Rollup(count: 1)
            if let subject = sample.subject.map({ Array($0.utf8) }) {
                one.subjects.insert(hash: hash64(subject.span))
            }
            for (name, value) in sample.numbers {
                var sketch = QuantileSketch()
                sketch.insert(value)
                one.fields.merge(sketch, into: name)
            }
            let key = RollupKey(minute: sample.time, type: sample.type, source: sample.source)
            rollups[key, default: Rollup()].merge(one)
        }
        return rollups
    }

    @Test func `finds what a plain merge of single events finds`() {
        for seed in 0..<30 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            let samples = (0..<random.below(900)).map { _ in Sample.random(&random) }
            #expect(RollupAccumulator.rollups(samples) == expected(samples), "seed \(seed)")
        }
    }

    @Test func `gives the same for any order and any split of the events`() {
        for seed in 0..<20 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            let samples = (0..<600).map { _ in Sample.random(&random) }
            let whole = RollupAccumulator.rollups(samples)
            #expect(RollupAccumulator.rollups(samples.shuffled(using: &random)) == whole, "seed \(seed)")
            let cut = random.below(600)
            let second = RollupAccumulator.rollups(samples[cut...])
            let merged = RollupAccumulator.rollups(samples[..<cut]).merging(second) { left, right in
                var both = left
                both.merge(right)
                return both
            }
            #expect(merged == whole, "seed \(seed)")
        }
    }

    @Test func `keeps thousands of keys apart`() {
        let samples = (0..<3_000).map { index in
            Sample(
                time: Int64(index % 7) * 60_000_000,
                type: "t\(index / 7)",
                source: "",
                numbers: [("/n", 1)]
            )
        }
        var accumulator = RollupAccumulator()
        for sample in samples + samples.reversed() { accumulator.add(sample) }
        #expect(accumulator.count == 3_000)
        #expect(accumulator.rollups.values.allSatisfy { $0.count == 2 && $0.fields["/n"]?.sum == 2 })
    }

    @Test func `counts a field that an event has twice, and one that comes and goes`() {
        let orders = [["/a", "/b"], ["/b", "/a"], ["/b"], ["/a", "/a"], ["/c", "/a", "/b"]]
        let samples = orders.map { names in
            Sample(time: 0, type: "t", source: "s", numbers: names.map { ($0, 1) })
        }
        let fields = RollupAccumulator.rollups(samples).values.first?.fields
        #expect(fields?["/a"]?.count == 5)
        #expect(fields?["/b"]?.count == 4)
        #expect(fields?["/c"]?.count == 1)
    }

    @Test func `merges keys that only differ in bytes which are no UTF-8`() {
        var accumulator = RollupAccumulator()
        let source = Array("/".utf8)
        for byte in [0xfe, 0xff] as [UInt8] {
            let type = [byte]
            accumulator.add(time: 0, type: type.span, source: source.span, subject: nil)
        }
        #expect(accumulator.rollups.map(\.value.count) == [2])
    }
}

@Suite struct `Rollup codec` {
    private static func rollups(seed: UInt64, events: Int) -> [RollupKey: Rollup] {
        var random = SplitMix(seed: seed)
        return RollupAccumulator.rollups((0..<events).map { _ in Sample.random(&random) })
    }

    @Test func `gives the same rollups back, and the same bytes for them`() throws {
        for (seed, events) in zip(0...6 as ClosedRange<UInt64>, [0, 1, 2, 10, 100, 1_000, 4_000]) {
            let rollups = Self.rollups(seed: seed, events: events)
            let bytes = RollupCodec.encode(rollups)
            let decoded = try RollupCodec.decode(bytes.span)
            #expect(decoded == rollups, "seed \(seed)")
            #expect(RollupCodec.encode(decoded) == bytes, "seed \(seed)")
        }
    }

    @Test func `takes a dense count of subjects`() throws {
        var rollup = Rollup(count: 600)
        for value in 0..<600 as Range<UInt64> {
            var random = SplitMix(seed: value)
            rollup.subjects.insert(hash: random.next())
        }
        let rollups = [RollupKey(minute: -1, type: "ü", source: ""): rollup]
        #expect(try RollupCodec.decode(RollupCodec.encode(rollups).span) == rollups)
    }

    @Test func `refuses input cut at any byte`() {
        let bytes = RollupCodec.encode(Self.rollups(seed: 1, events: 60))
        for cut in 0..<bytes.count {
            let part = Array(bytes[..<cut])
            let error = #expect(throws: CodecError.self) { try RollupCodec.decode(part.span) }
            #expect(error?.reason == .truncated, "cut at \(cut)")
            #expect((error?.offset ?? .max) <= cut, "cut at \(cut)")
        }
    }

    @Test func `refuses a version, bytes at the end and a count that cannot be`() {
        let empty = RollupCodec.encode([:])
        #expect(empty == [1, 0])
        for (bytes, reason, offset) in [
            ([0, 0], .version, 0), ([1, 0, 0], .trailing, 2), ([1, 0x80, 0x80, 0x10], .truncated, 4),
            ([1, 0x81, 0x80, 0x10], .limit, 4), ([1] + [UInt8](repeating: 0xff, count: 20), .number, 11),
        ] as [([UInt8], CodecError.Reason, Int)] {
            #expect(throws: CodecError(reason: reason, offset: offset)) { try RollupCodec.decode(bytes.span) }
        }
    }

    @Test func `refuses text that is no UTF-8, keys out of order and minutes out of range`() {
        let rest: [UInt8] = [1, 0, 0, 0]
        let outOfOrder = [1, 2] + [0, 0, 0] + rest + [0, 0, 0] + rest
        let noText = [1, 1] + [0, 1, 0xff, 0] + rest
        let noMinute = [1, 1] + [0xfe] + [UInt8](repeating: 0xff, count: 8) + [1, 0, 0] + rest
        for (bytes, reason) in [(outOfOrder, .order), (noText, .text), (noMinute, .value)]
            as [([UInt8], CodecError.Reason)]
        {
            let error = #expect(throws: CodecError.self) { try RollupCodec.decode(bytes.span) }
            #expect(error?.reason == reason)
        }
    }

    /// Damaged input either is refused or gives rollups that can be merged, asked and encoded again.
    @Test func `never traps on damaged input`() throws {
        let whole = RollupCodec.encode(Self.rollups(seed: 3, events: 25))
        var decodedCount = 0
        for seed in 0..<3_000 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            var bytes = whole
            for _ in 0...random.below(3) {
                let index = random.below(bytes.count)
                switch random.below(4) {
                case 0: bytes[index] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes[index] ^= 1 << UInt8(random.below(8))
                case 2: bytes.remove(at: index)
                default: bytes.insert([0, 0x7f, 0x80, 0xff][random.below(4)], at: index)
                }
            }
            guard let decoded = try? RollupCodec.decode(bytes.span) else { continue }
            decodedCount += 1
            #expect(RollupCodec.encode(decoded) == bytes, "seed \(seed)")
            var sum = Rollup()
            for rollup in decoded.values { sum.merge(rollup) }
            sum.merge(sum)
            #expect(sum.subjects.estimate >= 0, "seed \(seed)")
            for field in sum.fields where !field.sketch.isEmpty {
                #expect(field.sketch.quantile(0.5)?.isFinite == true, "seed \(seed)")
            }
        }
        #expect(decodedCount > 0, "some damage must go unseen, or this test shows nothing")
    }

    @Test func `never traps on random input`() {
        for seed in 0..<3_000 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            let bytes =
                [1]
                + (0..<random.below(200)).map { _ in
                    UInt8(truncatingIfNeeded: random.next() >> random.next() % 64)
                }
            _ = try? RollupCodec.decode(bytes.span)
            _ = try? FieldSketches.decode(bytes.span)
            _ = try? QuantileSketch.decode(bytes.span)
            _ = try? HyperLogLog.decode(bytes.span)
        }
    }
}
