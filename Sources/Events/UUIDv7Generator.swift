/// Makes UUIDs of version 7 (RFC 9562, section 5.7), each greater than the one before.
///
/// The 74 random bits serve as a counter within a millisecond (section 6.2, method 2). A clock that goes back
/// is not followed: the generator stays at the last millisecond and counts on.
package struct UUIDv7Generator: Sendable {
    private static let millisecondsMax: Int64 = 1 << 48 - 1
    private static let tailMax: UInt128 = 1 << 74 - 1

    private var random: RandomBits
    private var milliseconds: Int64 = -1
    private var tail: UInt128 = 0

    /// A generator whose UUIDs no other process will make.
    package init() {
        var system = SystemRandomNumberGenerator()
        random = RandomBits(state: (system.next(), system.next(), system.next(), system.next() | 1))
    }

    /// A generator that makes the same UUIDs for the same seed, for tests.
    package init(seed: UInt64) {
        // Any distinct words do: the first outputs are thrown away.
        random = RandomBits(state: (seed, ~seed, seed &* 0x9E37_79B9_7F4A_7C15, 1))
        for _ in 0..<16 { _ = random.next() }
    }

    /// The next UUID for a moment in µs since 1970.
    package mutating func next(microseconds: Int64) -> UInt128 {
        let now = min(max(0, microseconds / 1000), Self.millisecondsMax)
        if now > milliseconds {
            restart(at: now)
        } else {
            // A step of its own size keeps the next id from being guessed out of this one.
            tail += 1 + UInt128(random.next() >> 32)
            if tail > Self.tailMax { restart(at: min(milliseconds + 1, Self.millisecondsMax)) }
        }
        let time = UInt128(UInt64(milliseconds)) << 80
        let high = (tail >> 62) << 64
        let low = tail & (1 << 62 - 1)
        return time | 7 << 76 | high | 2 << 62 | low
    }

    /// The time inside a UUIDv7 in µs since 1970; nil for a UUID of another version or variant.
    package static func microseconds(of uuid: UInt128) -> Int64? {
        guard uuid >> 76 & 15 == 7, uuid >> 62 & 3 == 2 else { return nil }
        return Int64(uuid >> 80) * 1000
    }

    /// Begins a millisecond with the highest bit of the counter clear, so that there is room to count.
    private mutating func restart(at milliseconds: Int64) {
        self.milliseconds = milliseconds
        tail = (UInt128(random.next()) << 64 | UInt128(random.next())) & (Self.tailMax >> 1)
    }
}

/// xoshiro256** of Blackman and Vigna: ids need to be unlike each other, not secret.
private struct RandomBits: RandomNumberGenerator, Sendable {
    var state: (UInt64, UInt64, UInt64, UInt64)

    mutating func next() -> UInt64 {
        let result = Self.rotate(state.1 &* 5, 7) &* 9
        let shifted = state.1 &<< 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = Self.rotate(state.3, 45)
        return result
    }

    private static func rotate(_ word: UInt64, _ count: UInt64) -> UInt64 {
        word &<< count | word &>> (64 &- count)
    }
}
