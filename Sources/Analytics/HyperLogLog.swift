/// An estimate of how many different values were seen, which merges with others without double counting.
///
/// Up to ``sparseMax`` different values it is exact (but for collisions of 26-bit hashes, which is 0.2 % of a
/// value at 512) and takes some four bytes a value. Beyond that it is a HyperLogLog of precision 12: 4,096
/// registers, standard error 1.04/√4096 = 1.625 %.
///
/// Its state depends on nothing but the set of hashes inserted. Hence merging is commutative, associative and
/// idempotent in every combination of the two forms, and equal sets give equal values and equal bytes.
package struct HyperLogLog: Equatable, Sendable {
    /// Leading bits of a hash that choose the register.
    static let precision = 12
    static let registerCount = 1 << precision
    /// The largest value that a register can take: all 52 bits that follow the precision are zero.
    static let rankMax = 64 - precision + 1
    /// Different entries up to which the exact form is kept; its encoding is then still below the dense
    /// one's.
    package static let sparseMax = 512

    /// Leading bits of a hash that an entry of the exact form keeps.
    static let sparsePrecision = 26
    static let sparseRankMax = 64 - sparsePrecision + 1

    /// The exact form, empty when dense: `index << 6 | rank`, ascending, each index once with its highest
    /// rank.
    var entries: [UInt32] = []
    /// The dense form, empty when exact: the highest rank seen of each register.
    var registers: [UInt8] = []

    package init() {}

    package var isEmpty: Bool { entries.isEmpty && registers.isEmpty }

    var isDense: Bool { !registers.isEmpty }

    /// Counts the value that has this hash; use ``hash64(_:)``.
    package mutating func insert(hash: UInt64) {
        if isDense {
            let rank = (hash << UInt64(Self.precision)).leadingZeroBitCount + 1
            raise(Int(hash >> UInt64(64 - Self.precision)), to: UInt8(min(rank, Self.rankMax)))
        } else {
            let rank = (hash << UInt64(Self.sparsePrecision)).leadingZeroBitCount + 1
            let index = UInt32(hash >> UInt64(64 - Self.sparsePrecision))
            insert(entry: index << 6 | UInt32(min(rank, Self.sparseRankMax)))
        }
    }

    /// Makes this the sketch of the union of both sets.
    package mutating func merge(_ other: HyperLogLog) {
        if isEmpty {
            self = other
        } else if other.isDense {
            densify()
            for index in 0..<Self.registerCount { raise(index, to: other.registers[index]) }
        } else {
            for entry in other.entries { insert(entry: entry) }
        }
    }

    @inline(__always)
    private mutating func raise(_ index: Int, to rank: UInt8) {
        if registers[index] < rank { registers[index] = rank }
    }

    private mutating func insert(entry: UInt32) {
        if isDense {
            let (index, rank) = Self.dense(entry)
            return raise(index, to: rank)
        }
        // Below every entry of the same index, whatever the rank.
        let position = lowerBound(entry & ~63)
        if position < entries.count, entries[position] >> 6 == entry >> 6 {
            entries[position] = max(entries[position], entry)
            return
        }
        entries.insert(entry, at: position)
        if entries.count > Self.sparseMax { densify() }
    }

    private func lowerBound(_ entry: UInt32) -> Int {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle] < entry { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func densify() {
        if isDense { return }
        registers = [UInt8](repeating: 0, count: Self.registerCount)
        for entry in entries {
            let (index, rank) = Self.dense(entry)
            raise(index, to: rank)
        }
        entries = []
    }

    /// What inserting the same hash into the dense form would have done.
    private static func dense(_ entry: UInt32) -> (index: Int, rank: UInt8) {
        let extra = UInt32(sparsePrecision - precision)
        let index = entry >> (6 + extra)
        let between = entry >> 6 & (1 << extra - 1)
        if between == 0 { return (Int(index), UInt8(extra + entry & 63)) }
        let rank = between.leadingZeroBitCount - (32 - Int(extra)) + 1
        return (Int(index), UInt8(rank))
    }
}
