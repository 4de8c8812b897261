/// Quantiles of a stream of numbers within 1 % of their value, in bounded space, mergeable: a DDSketch
/// (arXiv:1908.10693) with positive and negative numbers and zero in one row of bins.
///
/// At most ``binsMax`` bins are kept. When more would be needed the lowest two become one, so that only the
/// lowest quantiles lose their precision; it takes numbers spread over 58 powers of two for that, or 29 of
/// either sign. Which bins there are depends only on the numbers, never on the order of inserting and
/// merging. The sum may differ in its last bits.
package struct QuantileSketch: Equatable, Sendable {
    package static let binsMax = 2048
    private static let binsReserved = 16

    /// Keys of ``LogarithmicBin`` that have been seen, ascending.
    var keys: [Int32] = []
    /// How many numbers fell into the bin of the key at the same position; never zero.
    var tallies: [Int64] = []
    /// Infinite while there is no number.
    var lowest = Double.infinity
    var highest = -Double.infinity

    /// How many numbers were inserted.
    package internal(set) var count: Int64 = 0
    /// Their sum; held at the largest finite number when it would be infinite.
    package internal(set) var sum: Double = 0
    /// How many values were left out because they were infinite or not a number.
    package internal(set) var ignored: Int64 = 0

    package init() {}

    package var isEmpty: Bool { count == 0 }
    package var min: Double? { isEmpty ? nil : lowest }
    package var max: Double? { isEmpty ? nil : highest }
    package var mean: Double? { isEmpty ? nil : sum / Double(count) }

    /// Adds a number, `times` times.
    ///
    /// Infinities and NaN are counted in ``ignored`` and otherwise have no effect.
    package mutating func insert(_ value: Double, times: Int64 = 1) {
        guard value.isFinite else {
            ignored = ignored.addingSaturated(times)
            return
        }
        // -0 would make the minimum depend on the order.
        let value = value == 0 ? 0 : value
        if value < lowest { lowest = value }
        if value > highest { highest = value }
        count = count.addingSaturated(times)
        addToSum(value * Double(times))
        tally(LogarithmicBin.key(value), times)
    }

    /// The value at rank ⌊q (count - 1)⌋ of the sorted numbers, within 1 %; `nil` when there is none.
    ///
    /// The least and the greatest are exact. `q` outside of 0...1 counts as the nearer end.
    package func quantile(_ q: Double) -> Double? {
        guard !isEmpty, !q.isNaN else { return nil }
        let share = Swift.min(Swift.max(q, 0), 1)
        // From 2^53 on the product may be rounded up to more than the greatest rank.
        let product = share * Double(count - 1)
        let rank = product < Double(count - 1) ? Int64(product) : count - 1
        if rank == 0 { return lowest }
        if rank == count - 1 { return highest }
        var below: Int64 = 0
        for (key, tally) in zip(keys, tallies) {
            below = below.addingSaturated(tally)
            if below > rank { return Swift.min(Swift.max(LogarithmicBin.value(key), lowest), highest) }
        }
        return highest
    }

    /// Makes this the sketch of the numbers of both.
    package mutating func merge(_ other: QuantileSketch) {
        ignored = ignored.addingSaturated(other.ignored)
        if other.isEmpty { return }
        count = count.addingSaturated(other.count)
        addToSum(other.sum)
        lowest = Swift.min(lowest, other.lowest)
        highest = Swift.max(highest, other.highest)
        if keys.isEmpty {
            (keys, tallies) = (other.keys, other.tallies)
        } else if keys == other.keys {
            for index in tallies.indices {
                tallies[index] = tallies[index].addingSaturated(other.tallies[index])
            }
        } else {
            mergeBins(other)
        }
    }

    private mutating func addToSum(_ value: Double) {
        let largest = Double.greatestFiniteMagnitude
        sum = Swift.min(Swift.max(sum + value, -largest), largest)
    }

    private mutating func tally(_ key: Int32, _ times: Int64) {
        let position = lowerBound(key)
        if position < keys.count, keys[position] == key {
            tallies[position] = tallies[position].addingSaturated(times)
        } else if position == 0, keys.count == Self.binsMax {
            tallies[0] = tallies[0].addingSaturated(times)
        } else {
            if keys.isEmpty {
                // Growing from 1 by doubling costs more than all the rest of a short sketch.
                keys.reserveCapacity(Self.binsReserved)
                tallies.reserveCapacity(Self.binsReserved)
            }
            keys.insert(key, at: position)
            tallies.insert(times, at: position)
            collapse()
        }
    }

    private func lowerBound(_ key: Int32) -> Int {
        var (low, high) = (0, keys.count)
        while low < high {
            let middle = (low + high) / 2
            if keys[middle] < key { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func mergeBins(_ other: QuantileSketch) {
        var merged = QuantileSketch()
        merged.keys.reserveCapacity(keys.count + other.keys.count)
        merged.tallies.reserveCapacity(keys.count + other.keys.count)
        var (left, right) = (0, 0)
        while left < keys.count || right < other.keys.count {
            let mine = left < keys.count ? keys[left] : Int32.max
            let theirs = right < other.keys.count ? other.keys[right] : Int32.max
            var tally: Int64 = 0
            if mine <= theirs {
                tally = tallies[left]
                left += 1
            }
            if theirs <= mine {
                tally = tally.addingSaturated(other.tallies[right])
                right += 1
            }
            merged.keys.append(Swift.min(mine, theirs))
            merged.tallies.append(tally)
        }
        merged.collapse()
        (keys, tallies) = (merged.keys, merged.tallies)
    }

    /// Adds the lowest bins to the lowest that is kept.
    private mutating func collapse() {
        let surplus = keys.count - Self.binsMax
        guard surplus > 0 else { return }
        for index in 0..<surplus { tallies[surplus] = tallies[surplus].addingSaturated(tallies[index]) }
        keys.removeFirst(surplus)
        tallies.removeFirst(surplus)
    }
}

extension Int64 {
    /// The sum of two numbers that are not negative, or the greatest number where it would be more.
    ///
    /// Counts in forged bytes must not trap.
    func addingSaturated(_ other: Int64) -> Int64 {
        let (sum, isOverflown) = addingReportingOverflow(other)
        return isOverflown ? .max : sum
    }
}
