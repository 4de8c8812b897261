import Testing

@testable import Analytics

/// Named ways of making numbers.
enum Distribution: String, CaseIterable, Sendable {
    case uniform, heavyTailed, integers, negative, mixed, tiny, huge, subnormal, constant, zeros, wide

    func value(_ random: inout SplitMix) -> Double {
        let unit = random.unit() + 1e-12
        return switch self {
        case .uniform: unit * 1_000
        case .heavyTailed: 1 / (unit * unit)
        case .integers: Double(random.below(5_000))
        case .negative: -1 / unit
        case .mixed: random.below(10) == 0 ? 0 : (unit - 0.4) * 1e6
        case .tiny: unit * 1e-290
        case .huge: unit * 1.7e308
        case .subnormal: Double(random.below(1_000_000)) * Double.leastNonzeroMagnitude
        case .constant: 42.42
        case .zeros: random.below(2) == 0 ? -0.0 : 0
        case .wide:
            Double(
                sign: random.below(2) == 0 ? .minus : .plus,
                exponent: random.below(28) - 14,
                significand: 1 + unit
            )
        }
    }
}

@Suite struct `Quantile sketch` {
    static let shares = [0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1]

    private func sketch(_ values: some Sequence<Double>) -> QuantileSketch {
        var sketch = QuantileSketch()
        for value in values { sketch.insert(value) }
        return sketch
    }

    /// Compares all but the sum, which may differ by rounding.
    private func isSame(_ left: QuantileSketch, _ right: QuantileSketch) -> Bool {
        left.keys == right.keys && left.tallies == right.tallies && left.count == right.count
            && left.min == right.min && left.max == right.max && left.ignored == right.ignored
            && abs(left.sum - right.sum) <= 1e-9 * Swift.max(1, abs(left.sum))
    }

    @Test(arguments: Distribution.allCases) func `is within one percent`(of distribution: Distribution) throws
    {
        for (seed, count) in zip(1...5 as ClosedRange<UInt64>, [1, 2, 3, 100, 10_000]) {
            var random = SplitMix(seed: seed)
            let values = (0..<count).map { _ in distribution.value(&random) }.sorted()
            let sketch = sketch(values.shuffled(using: &random))
            #expect(sketch.count == Int64(count))
            #expect(sketch.min == values.first && sketch.max == values.last)
            for share in Self.shares {
                let exact = values[Int(share * Double(count - 1))]
                let found = try #require(sketch.quantile(share))
                // Neighbouring subnormal numbers may be further apart than 1 %.
                let tolerance = abs(exact) * 0.01 + (abs(exact) < 1e-300 ? Double.leastNonzeroMagnitude : 0)
                #expect(
                    abs(found - exact) <= tolerance,
                    "seed \(seed), n \(count), q \(share): \(found), \(exact)"
                )
            }
        }
    }

    @Test func `keeps count, sum, least, greatest and mean`() {
        let sketch = sketch([3, -1.5, 8, 0])
        #expect(sketch.count == 4)
        #expect(sketch.sum == 9.5)
        #expect(sketch.min == -1.5)
        #expect(sketch.max == 8)
        #expect(sketch.mean == 2.375)
    }

    @Test func `has no quantile while it is empty`() {
        let sketch = QuantileSketch()
        #expect(sketch.quantile(0.5) == nil)
        #expect(sketch.min == nil && sketch.max == nil && sketch.mean == nil)
    }

    @Test func `takes a share outside of its range for the nearer end`() {
        let sketch = sketch([1, 2, 3])
        #expect(sketch.quantile(-1) == 1)
        #expect(sketch.quantile(7) == 3)
        #expect(sketch.quantile(.infinity) == 3)
        #expect(sketch.quantile(.nan) == nil)
    }

    @Test func `ignores what is no finite number, and says how often`() {
        let sketch = sketch([.nan, 1, .infinity, -.infinity, .signalingNaN, 3])
        #expect(sketch.ignored == 4)
        #expect(sketch.count == 2)
        #expect(sketch.sum == 4)
        #expect(sketch.quantile(1) == 3)
    }

    @Test func `has the same bytes for both zeros`() {
        #expect(sketch([-0.0, 0, 1]).encode() == sketch([0, -0.0, 1]).encode())
        #expect(sketch([-0.0]).encode() == sketch([0]).encode())
    }

    @Test func `holds the sum at the largest number`() {
        let largest = Double.greatestFiniteMagnitude
        var sketch = sketch([largest, largest])
        #expect(sketch.sum == largest)
        var opposite = QuantileSketch()
        opposite.insert(-largest)
        opposite.insert(-largest)
        sketch.merge(opposite)
        #expect(sketch.sum == 0)
    }

    @Test func `merges in any order to the sketch of all numbers`() {
        for seed in 0..<40 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            let parts = (0..<4).map { _ in
                let distribution = Distribution.allCases[random.below(Distribution.allCases.count)]
                return (0..<random.below(300)).map { _ in distribution.value(&random) }
            }
            let sketches = parts.map(sketch)
            var inOrder = QuantileSketch()
            for sketch in sketches { inOrder.merge(sketch) }
            var shuffled = QuantileSketch()
            for sketch in sketches.shuffled(using: &random) { shuffled.merge(sketch) }
            var (left, right) = (sketches[0], sketches[2])
            left.merge(sketches[1])
            right.merge(sketches[3])
            left.merge(right)
            let all = sketch(parts.joined())
            #expect(isSame(inOrder, all), "seed \(seed)")
            #expect(isSame(shuffled, all), "seed \(seed)")
            #expect(isSame(left, all), "seed \(seed)")
        }
    }

    /// One number in each of more bins than are kept, in many orders and in parts.
    @Test func `keeps 2048 bins, the highest, whatever the order`() throws {
        let keys = (1...5_000).map { Int32($0 * 7 - 17_000) }
        let values = keys.map(LogarithmicBin.value)
        let expected = sketch(values)
        #expect(expected.keys == Array(keys.suffix(QuantileSketch.binsMax)))
        #expect(expected.tallies.first == Int64(5_000 - QuantileSketch.binsMax + 1))
        for seed in 0..<6 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            let mixed = values.shuffled(using: &random)
            let cut = random.below(mixed.count)
            var parts = sketch(mixed[..<cut])
            parts.merge(sketch(mixed[cut...]))
            #expect(isSame(parts, sketch(mixed)), "seed \(seed), cut \(cut)")
            #expect(
                parts.keys == expected.keys && parts.tallies == expected.tallies,
                "seed \(seed), cut \(cut)"
            )
        }
        let high = try #require(expected.quantile(0.9))
        let exact = values[Int(0.9 * 4_999)]
        #expect(abs(high - exact) <= 0.01 * abs(exact))
        #expect(expected.quantile(0) == values[0])
    }
}

@Suite struct `Logarithmic bin` {
    /// Both ends of each of the 35 bins of an octave, which is the whole proof: octaves differ by their
    /// exponent.
    @Test func `stands for all its numbers within one percent`() {
        for exponent in [-1_022, -500, -1, 0, 1, 52, 900, 1_023] {
            let base = Double(sign: .plus, exponent: exponent, significand: 1)
            var low = base
            for part in 0..<LogarithmicBin.binsPerOctave {
                let key = LogarithmicBin.key(low)
                #expect(key == LogarithmicBin.key(base) + Int32(part))
                let high = lastNumber(from: low, exponent: exponent)
                let value = LogarithmicBin.value(key)
                #expect(value - low <= 0.01 * low, "exponent \(exponent), part \(part)")
                #expect(high - value <= 0.01 * high, "exponent \(exponent), part \(part)")
                low = high.nextUp
            }
            #expect(low == 2 * base || exponent == 1_023 && low == .infinity)
        }
    }

    /// The greatest number in the bin of `low`, by bisection over the bit patterns of its octave.
    private func lastNumber(from low: Double, exponent: Int) -> Double {
        let octave = Double(sign: .plus, exponent: exponent, significand: 1)
        var inside = low.bitPattern
        var outside = (octave.bitPattern | 0x000f_ffff_ffff_ffff) + 1
        while outside - inside > 1 {
            let middle = inside + (outside - inside) / 2
            if LogarithmicBin.key(Double(bitPattern: middle)) == LogarithmicBin.key(low) {
                inside = middle
            } else {
                outside = middle
            }
        }
        return Double(bitPattern: inside)
    }

    @Test func `orders as its numbers do, over all finite numbers`() {
        for seed in 0..<4 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            let values = (0..<20_000).map { _ in Double(bitPattern: random.next()) }.filter(\.isFinite)
                .sorted()
            for (low, high) in zip(values, values.dropFirst()) {
                #expect(LogarithmicBin.key(low) <= LogarithmicBin.key(high), "seed \(seed): \(low), \(high)")
            }
        }
        let ends: [Double] = [
            .leastNonzeroMagnitude, 2 * .leastNonzeroMagnitude, .leastNormalMagnitude.nextDown,
            .leastNormalMagnitude, 1,
            .greatestFiniteMagnitude,
        ]
        for value in ends {
            #expect(1...LogarithmicBin.keyMax ~= LogarithmicBin.key(value))
            #expect(LogarithmicBin.key(-value) == -LogarithmicBin.key(value))
        }
        #expect(LogarithmicBin.key(Double.leastNonzeroMagnitude) == 1)
        #expect(LogarithmicBin.key(0) == 0 && LogarithmicBin.key(-0.0) == 0)
    }
}

@Suite struct `Bytes of a quantile sketch` {
    static func sketch(_ distribution: Distribution, _ count: Int) -> QuantileSketch {
        var random = SplitMix(seed: 4)
        var sketch = QuantileSketch()
        for _ in 0..<count { sketch.insert(distribution.value(&random)) }
        return sketch
    }

    @Test(arguments: Distribution.allCases) func `give the same sketch back`(
        _ distribution: Distribution
    ) throws {
        for count in [0, 1, 2, 500] {
            var sketch = Self.sketch(distribution, count)
            sketch.insert(.nan)
            #expect(try QuantileSketch.decode(sketch.encode().span) == sketch, "\(count)")
        }
    }

    @Test func `are few`() {
        #expect(QuantileSketch().encode().count == 3)
        #expect(Self.sketch(.uniform, 1).encode().count <= 32)
        #expect(Self.sketch(.uniform, 10_000).encode().count < 1_000)
    }

    @Test(arguments: Distribution.allCases) func `are refused when cut short`(_ distribution: Distribution) {
        let bytes = Self.sketch(distribution, 50).encode()
        for cut in 0..<bytes.count {
            let part = Array(bytes[..<cut])
            let error = #expect(throws: CodecError.self) { try QuantileSketch.decode(part.span) }
            #expect(error?.reason == .truncated, "cut at \(cut)")
        }
    }

    @Test func `are refused when least, greatest or sum contradict the bins or are not finite`() {
        let good = Self.sketch(.uniform, 50).encode()
        for offset in [3, 11] {
            var bytes = good
            bytes.replaceSubrange(offset..<offset + 8, with: [0, 0, 0, 0, 0, 0, 0xf0, 0x3f])
            #expect(throws: CodecError.self, "1.0 at \(offset)") { try QuantileSketch.decode(bytes.span) }
        }
        for offset in [3, 11, 19] {
            var bytes = good
            bytes.replaceSubrange(offset..<offset + 8, with: [0, 0, 0, 0, 0, 0, 0xf8, 0x7f])
            #expect(throws: CodecError(reason: .value, offset: offset + 8), "NaN at \(offset)") {
                try QuantileSketch.decode(bytes.span)
            }
        }
    }

    @Test func `with counts near the limit neither trap on reading nor on merging`() throws {
        var bytes = QuantileSketch().encode()
        bytes.removeLast()
        bytes.append(1)
        for _ in 0..<3 { bytes.append(double: 1) }
        bytes.append(signed: Int64(LogarithmicBin.key(1)))
        bytes.append(varint: UInt64(Int64.max))
        var sketch = try QuantileSketch.decode(bytes.span)
        sketch.merge(sketch)
        sketch.insert(1)
        #expect(sketch.count == .max)
        #expect(sketch.quantile(0.5) == 1)
        #expect(sketch.quantile(0.999_999_999_999_999_9) == 1)
    }
}
