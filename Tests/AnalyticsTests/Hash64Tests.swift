import Testing

@testable import Analytics

@Suite struct `Hash of bytes` {
    /// The vectors published with wyhash; the seed is the position.
    @Test func `is wyhash, final version 4`() {
        let letters = "abcdefghijklmnopqrstuvwxyz"
        let vectors: [(String, UInt64)] = [
            ("", 0x9322_8a4d_e0ee_c5a2),
            ("a", 0xc5ba_c3db_1787_13c4),
            ("abc", 0xa97f_2f7b_1d9b_3314),
            ("message digest", 0x786d_1f1d_f380_1df4),
            (letters, 0xdca5_a813_8ad3_7c87),
            (letters.uppercased() + letters + "0123456789", 0xb9e7_34f1_17cf_af70),
            (String(repeating: "1234567890", count: 8), 0x6cc5_eab4_9a92_d617),
        ]
        for (seed, (text, expected)) in vectors.enumerated() {
            let bytes = Array(text.utf8)
            #expect(hash64(bytes.span, seed: UInt64(seed)) == expected, "\(text)")
        }
    }

    @Test func `differs for every length and place of a single bit`() {
        var seen: Set<UInt64> = []
        var expected = 0
        for length in 0...130 {
            var bytes = [UInt8](repeating: 0, count: length)
            seen.insert(hash64(bytes.span))
            expected += 1
            for bit in 0..<length * 8 {
                bytes[bit / 8] ^= 1 << UInt8(bit % 8)
                seen.insert(hash64(bytes.span))
                expected += 1
                bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            }
        }
        #expect(seen.count == expected)
    }

    /// Flipping any bit of the input flips each bit of the hash about every other time.
    @Test(arguments: [4, 9, 16, 30, 100]) func `avalanches`(length: Int) {
        var random = SplitMix(seed: UInt64(length))
        let rounds = 400
        var flips = [Int](repeating: 0, count: 64)
        for _ in 0..<rounds {
            var bytes = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            let before = hash64(bytes.span)
            bytes[random.below(length)] ^= 1 << UInt8(random.below(8))
            let change = before ^ hash64(bytes.span)
            for bit in 0..<64 where change >> UInt64(bit) & 1 == 1 { flips[bit] += 1 }
        }
        // Six standard deviations of a fair coin thrown 400 times.
        for bit in 0..<64 { #expect(abs(flips[bit] - rounds / 2) < 60, "bit \(bit)") }
    }

    @Test func `equality of bytes looks at each of them`() {
        for length in 0...40 {
            let left = (0..<length).map { UInt8($0) }
            #expect(isEqual(left, left.span) == true)
            let longer = left + [0]
            #expect(isEqual(left, longer.span) == false)
            for index in 0..<length {
                var right = left
                right[index] ^= 0x80
                #expect(isEqual(left, right.span) == false, "length \(length), byte \(index)")
            }
        }
    }
}
