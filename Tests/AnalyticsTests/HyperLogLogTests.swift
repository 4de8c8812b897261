import Testing

@testable import Analytics

@Suite struct `Count of different values` {
    private func sketch(_ values: some Sequence<UInt64>) -> HyperLogLog {
        var sketch = HyperLogLog()
        for value in values { sketch.insert(hash: hashed(value)) }
        return sketch
    }

    private func hashed(_ value: UInt64) -> UInt64 {
        var random = SplitMix(seed: value)
        return random.next()
    }

    @Test func `is exact up to 512`() {
        var sketch = HyperLogLog()
        #expect(sketch.isEmpty)
        #expect(sketch.estimate == 0)
        for value in 0..<UInt64(HyperLogLog.sparseMax) {
            sketch.insert(hash: hashed(value))
            sketch.insert(hash: hashed(value / 2))
            #expect(sketch.estimate == Int(value) + 1)
        }
        #expect(!sketch.isDense)
        sketch.insert(hash: hashed(1_000_000))
        #expect(sketch.isDense)
    }

    /// Five standard errors (1.625 %) at each count; the mean of the seeds must show no bias.
    @Test func `is near the truth from 0 to a million`() {
        let checkpoints: Set<Int> = [
            0, 1, 100, 513, 600, 1_000, 2_000, 4_096, 7_000, 10_000, 12_000, 20_000, 50_000, 100_000, 300_000,
            1_000_000,
        ]
        var bias: [Int: Double] = [:]
        let seeds: [UInt64] = [1, 2, 3, 4]
        for seed in seeds {
            var random = SplitMix(seed: seed)
            var sketch = HyperLogLog()
            for count in 0...1_000_000 {
                if checkpoints.contains(count) {
                    let error = Double(sketch.estimate - count) / Double(max(count, 1))
                    #expect(
                        abs(error) <= (count > 512 ? 0.081 : 0),
                        "seed \(seed), \(count): off by \(error)"
                    )
                    bias[count, default: 0] += error / Double(seeds.count)
                }
                sketch.insert(hash: random.next())
            }
        }
        for (count, error) in bias { #expect(abs(error) < 0.033, "\(count): \(error)") }
    }

    @Test func `has the standard error of its precision and no bias`() {
        for count in [800, 3_000, 11_000] {
            var (mean, square) = (0.0, 0.0)
            let rounds = 60
            for seed in 0..<rounds {
                var random = SplitMix(seed: UInt64(seed * 1_000_003 + count))
                var sketch = HyperLogLog()
                for _ in 0..<count { sketch.insert(hash: random.next()) }
                let error = Double(sketch.estimate) / Double(count) - 1
                mean += error / Double(rounds)
                square += error * error / Double(rounds)
            }
            #expect(abs(mean) < 0.0084, "\(count): four standard errors of the mean of 60")
            #expect(square.squareRoot() < 0.0225, "\(count): 1.625 % and four standard errors of 60 rounds")
        }
    }

    @Test func `is the same for text keys as for random hashes`() {
        var sketch = HyperLogLog()
        for value in 0..<50_000 {
            let bytes = Array("user-\(value)".utf8)
            sketch.insert(hash: hash64(bytes.span))
        }
        #expect(abs(sketch.estimate - 50_000) < 4_000)
    }

    /// Sizes on both sides of the change of form, and sets that overlap.
    @Test func `merges in any order and any number of times to the sketch of the union`() {
        let sizes: [UInt64] = [0, 1, 7, 300, 512, 513, 2_000, 9_000]
        let sets = sizes.map { size in (0..<size).map { $0 &* 3 &+ size } }
        let sketches = sets.map(sketch)
        for left in sets.indices {
            for right in sets.indices {
                var merged = sketches[left]
                merged.merge(sketches[right])
                #expect(merged == sketch(sets[left] + sets[right]), "\(sizes[left]) + \(sizes[right])")
                var again = merged
                again.merge(sketches[left])
                again.merge(merged)
                #expect(again == merged)
                for third in [1, 3, 5] {
                    var leftFirst = merged
                    leftFirst.merge(sketches[third])
                    var rightFirst = sketches[right]
                    rightFirst.merge(sketches[third])
                    rightFirst.merge(sketches[left])
                    #expect(leftFirst == rightFirst)
                }
            }
        }
    }

    @Test func `does not depend on the order of inserting`() {
        for seed in 0..<20 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            let values = (0..<UInt64(random.below(1_200))).map { $0 }
            #expect(sketch(values) == sketch(values.shuffled(using: &random)), "seed \(seed)")
        }
    }

    /// They share the 26 bits of an entry's index and differ only in how many zeros follow.
    @Test func `keeps the highest rank of hashes that fall on one entry`() {
        let hashes: [UInt64] = [0xabcd_ef40_0000_0001, 0xabcd_ef47_0000_0000, 0xabcd_ef40_0000_ffff]
        for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]] {
            var sketch = HyperLogLog()
            for index in order { sketch.insert(hash: hashes[index]) }
            #expect(sketch.estimate == 1)
            #expect(sketch.entries.first.map { $0 & 63 } == 38, "in the order \(order)")
        }
    }

    @Test func `takes hashes that are all zeros or all ones`() {
        var sparse = HyperLogLog()
        sparse.insert(hash: 0)
        sparse.insert(hash: .max)
        #expect(sparse.estimate == 2)
        var dense = sketch(0..<600)
        dense.insert(hash: 0)
        dense.insert(hash: .max)
        #expect(dense.registers[0] == UInt8(HyperLogLog.rankMax))
        sparse.merge(sketch(0..<600))
        #expect(sparse == dense)
    }

    @Test func `stays finite when every register is full`() throws {
        let body = [UInt8](repeating: 0, count: 3_072)
        var full = [UInt8]([1, 0x81, 0x04]) + body
        #expect(try HyperLogLog.decode(full.span).estimate == 0)
        let rank = UInt32(HyperLogLog.rankMax)
        let group = rank | rank << 6 | rank << 12 | rank << 18
        for index in 0..<3_072 {
            full[3 + index] = UInt8(truncatingIfNeeded: group >> UInt32(8 * (index % 3)))
        }
        #expect(try HyperLogLog.decode(full.span).estimate == 1 << 62)
    }
}

@Suite struct `Bytes of a count of different values` {
    static func sketch(_ count: Int, seed: UInt64 = 9) -> HyperLogLog {
        var random = SplitMix(seed: seed)
        var sketch = HyperLogLog()
        for _ in 0..<count { sketch.insert(hash: random.next()) }
        return sketch
    }

    @Test func `are few for few values`() {
        #expect(Self.sketch(0).encode().count == 2)
        #expect(Self.sketch(1).encode().count <= 7)
        #expect(Self.sketch(100).encode().count <= 500)
        #expect(Self.sketch(512).encode().count <= 2_200)
        #expect(Self.sketch(100_000).encode().count == 3_075)
    }

    @Test(arguments: [0, 1, 2, 100, 511, 512, 513, 5_000]) func `give the same sketch back`(count: Int) throws
    {
        let sketch = Self.sketch(count)
        #expect(try HyperLogLog.decode(sketch.encode().span) == sketch)
    }

    @Test(arguments: [0, 1, 2, 40, 513]) func `are refused when cut short or continued`(count: Int) throws {
        let bytes = Self.sketch(count).encode()
        for cut in 0..<bytes.count {
            let part = Array(bytes[..<cut])
            let error = #expect(throws: CodecError.self) { try HyperLogLog.decode(part.span) }
            #expect(error?.reason == .truncated, "cut at \(cut)")
        }
        let longer = bytes + [0]
        #expect(throws: CodecError(reason: .trailing, offset: bytes.count)) {
            try HyperLogLog.decode(longer.span)
        }
    }

    @Test(
        arguments: [
            ([2, 0], CodecError.Reason.version, 0),
            ([1, 0x82, 0x04], .limit, 3),
            ([1, 1, 0], .value, 3),  // a rank of zero
            ([1, 1, 40], .value, 3),  // a rank above 39
            ([1, 2, 1, 1], .order, 4),  // the same index twice
            ([1, 1, 0x80, 0], .number, 4),  // a number longer than it needs be
            ([1, 1, 0xff, 0xff, 0xff, 0xff, 0x7f], .value, 7),  // above 32 bits
        ] as [([UInt8], CodecError.Reason, Int)]
    )
    func `are refused when they break a rule`(bytes: [UInt8], reason: CodecError.Reason, offset: Int) {
        #expect(throws: CodecError(reason: reason, offset: offset)) { try HyperLogLog.decode(bytes.span) }
    }
}
