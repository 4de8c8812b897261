/// Counts of values by fixed bucket: cheap to record, to export and to subtract.
package struct Histogram: Equatable, Sendable {
    /// Upper bounds, inclusive and ascending; one more bucket takes what is above the last.
    package let bounds: [Double]
    /// Values by bucket, not added up.
    package private(set) var counts: [UInt64]
    package private(set) var sum = 0.0

    /// Seconds, from a tenth of a millisecond to a minute: what waits for a disk or a network.
    package static let secondsBounds: [Double] = [
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
        60,
    ]
    /// Sizes and counts, in powers of four up to 16 million.
    package static let sizeBounds: [Double] = (0...12).map { Double(1 << (2 * $0)) }

    /// An empty histogram.
    package init(bounds: [Double]) {
        precondition(!bounds.isEmpty && zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 })
        self.bounds = bounds
        counts = [UInt64](repeating: 0, count: bounds.count + 1)
    }

    /// How many values there are.
    package var count: UInt64 { counts.reduce(0, &+) }

    /// Adds a value; what is not a number is left out.
    package mutating func record(_ value: Double) {
        guard value.isFinite else { return }
        counts[bounds.firstIndex { value <= $0 } ?? bounds.count] &+= 1
        sum += value
    }

    /// The values that came since `earlier`, a former state of this histogram.
    package func since(_ earlier: Histogram) -> Histogram {
        guard earlier.bounds == bounds else { return self }
        var difference = self
        for index in counts.indices {
            difference.counts[index] =
                counts[index] >= earlier.counts[index] ? counts[index] - earlier.counts[index] : 0
        }
        difference.sum = sum - earlier.sum
        return difference
    }

    /// An estimate of the value that the share `q` of all values does not exceed, `nil` when there are none.
    ///
    /// Values are taken to be spread evenly within their bucket; above the last bound the bound is the
    /// answer.
    package func quantile(_ q: Double) -> Double? {
        let total = count
        if total == 0 { return nil }
        let rank = q * Double(total)
        var below = 0.0
        for (index, bound) in bounds.enumerated() where counts[index] > 0 {
            let here = Double(counts[index])
            if below + here >= rank {
                let start = index == 0 ? min(0, bound) : bounds[index - 1]
                return start + (bound - start) * max(0, rank - below) / here
            }
            below += here
        }
        return bounds.last
    }
}
