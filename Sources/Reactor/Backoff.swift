/// A small, seeded random number generator (Steele, Lea, Flood 2014), for jitter that a test can repeat.
package struct SplitMix64: Sendable {
    private var state: UInt64

    package init(seed: UInt64) {
        state = seed
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    package mutating func next(below bound: UInt64) -> UInt64 {
        next().multipliedFullWidth(by: bound).high
    }
}

/// How long to wait after failures in a row: twice as long after each, up to a maximum.
///
/// A random part of up to half is cut off, so that those who have failed together do not come back together.
package struct Backoff: Sendable {
    private let shortest: Duration
    private let longest: Duration
    private var random: SplitMix64

    /// Pauses from `shortest` on, `longest` at most, whose random parts follow from `seed`.
    package init(from shortest: Duration, upTo longest: Duration, seed: UInt64) {
        self.shortest = shortest
        self.longest = longest
        random = SplitMix64(seed: seed)
    }

    /// The pause after so many failures in a row, the first being 1.
    package mutating func pause(after failures: Int) -> Duration {
        let whole = min(shortest * (1 << min(max(failures - 1, 0), 20)), longest)
        return whole - whole / 2 * Double(random.next() >> 11) / Double(1 << 53)
    }
}
