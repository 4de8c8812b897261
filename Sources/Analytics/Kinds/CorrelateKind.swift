/// Which types of event move together: how strongly their numbers per step of time are correlated.
///
/// The strength is Pearson's coefficient of the counts per step, or of their ranks (Spearman's: outliers
/// weigh no more than others), of the numbers themselves or of their changes from step to step, which a
/// common trend does not join. With `lag`, one type may follow the other by up to so many steps; of all
/// lags the strongest counts, and of equals the shortest.
///
/// Held is a count for each type and step: 64 types of 10,000 steps are 5 MB. An event costs O(1), the
/// result O(types² · lags · steps). When no types are named the first ones take part, and what is left out
/// is counted.
package struct CorrelateKind: AnalysisKind {
    package static let name = "correlate"
    package static let note = "Which types of event move together, and which follow which."
    package static let parameters = [
        Parameter(
            "types",
            .list(of: .text(bytesMax: 255), 2...64),
            .optional,
            "The types to compare; when left out, the first that occur."
        ),
        Parameter(
            "step",
            .duration(1_000_000...2_592_000_000_000),
            .standard("1h"),
            "The length of the steps, from the start of the range; a shorter rest is left out."
        ),
        Parameter(
            "of",
            .choice(["counts", "changes"]),
            .standard("counts"),
            "The counts, or their changes."
        ),
        Parameter("method", .choice(["pearson", "spearman"]), .standard("pearson"), "By value or by rank."),
        Parameter(
            "lag",
            .integer(0...Int64(AnalysisLimits.lagsMax)),
            .standard(0),
            "By how many steps one type may follow another."
        ),
        Parameter("least", .number(0...1), .standard(0.5), "The least strength to list, whatever its sign."),
        Parameter(
            "limit",
            .integer(1...Int64(AnalysisLimits.rowsMax)),
            .standard(100),
            "How many pairs to list."
        ),
    ]

    private let buckets: TimeBuckets
    private let isOfChanges: Bool
    private let isByRank: Bool
    private let lagMax: Int
    private let least: Double
    private let limit: Int
    package let needs: AnalysisNeeds
    private var types: GroupTable
    private var counts: [[Int64]] = []
    private var leftOut: Int64 = 0

    package init(_ parameters: Parameters, limits: AnalysisLimits) throws(ParameterError) {
        buckets = try parameters.buckets(step: "step")
        isOfChanges = parameters.text("of") == "changes"
        isByRank = parameters.text("method") == "spearman"
        lagMax = parameters.integer("lag") ?? 0
        least = parameters.number("least") ?? 0
        limit = parameters.integer("limit") ?? 1
        needs = parameters.needs()
        let points = buckets.count - (isOfChanges ? 1 : 0) - lagMax
        if points < Correlation.pointsMin {
            let most = Correlation.pointsMin
            throw ParameterError("/step", "\(points) points remain to be compared, \(most) are needed")
        }
        types = GroupTable(capacity: limits.correlatedTypesMax, valueBytesMax: 255)
        for type in needs.types { _ = types.number(of: .text(type)) }
        counts = types.values.map { _ in [Int64](repeating: 0, count: buckets.count) }
    }

    package mutating func add(_ event: AnalysisEvent) {
        let type = types.number(of: .text(event.type))
        guard type >= 0, let index = buckets.index(of: event.time) else {
            leftOut += 1
            return
        }
        if type == counts.count { counts.append([Int64](repeating: 0, count: buckets.count)) }
        counts[type][index] += 1
    }

    /// Two types, by their numbers.
    private struct Pair: Sendable {
        let left: Int
        let right: Int
        let strength: Double
        /// By how many steps the right one follows the left one.
        let lag: Int
    }

    package func result() -> AnalysisValue {
        let series = counts.map { counts -> [Double] in
            let numbers = counts.map { Double($0) }
            return isOfChanges ? zip(numbers.dropFirst(), numbers).map { $0 - $1 } : numbers
        }
        let constant = series.indices.filter { number in series[number].allSatisfy { $0 == series[number][0] }
        }
        let found = pairs(of: series).filter { abs($0.strength) >= least }
        let sorted = found.sorted {
            (abs($1.strength), $0.left, $0.right) < (abs($0.strength), $1.left, $1.right)
        }
        return [
            "pairs": .list(sorted.prefix(limit).map { row(of: $0) }),
            "found": .integer(Int64(found.count)),
            "types": .list(types.values.map(\.value)),
            "constant": .list(constant.map { types.values[$0].value }),
            "steps": .integer(Int64(buckets.count)),
            "left_out": .integer(leftOut),
            "truncated": .flag(found.count > limit || leftOut > 0),
            "exact": .flag(leftOut == 0),
        ]
    }

    private func pairs(of series: [[Double]]) -> [Pair] {
        var best: [[Pair?]] = series.map { _ in [Pair?](repeating: nil, count: series.count) }
        for lag in 0...lagMax {
            // The part that a type's series is compared with when it leads, and when it follows.
            let leading = series.map { Correlation.standardized($0.dropLast(lag), byRank: isByRank) }
            let following = series.map { Correlation.standardized($0.dropFirst(lag), byRank: isByRank) }
            for left in series.indices {
                for right in series.indices where lag > 0 && left != right || left < right {
                    guard let first = leading[left], let second = following[right] else { continue }
                    let strength = Correlation.product(first, second)
                    let (low, high) = (min(left, right), max(left, right))
                    if let old = best[low][high], abs(old.strength) >= abs(strength) { continue }
                    best[low][high] = Pair(left: left, right: right, strength: strength, lag: lag)
                }
            }
        }
        return best.flatMap { $0.compactMap { $0 } }
    }

    private func row(of pair: Pair) -> AnalysisValue {
        [
            "types": [types.values[pair.left].value, types.values[pair.right].value],
            "strength": .number(pair.strength),
            "lag_seconds": .number(Double(Int64(pair.lag) * buckets.step) / 1_000_000),
            "points": .integer(Int64(buckets.count - (isOfChanges ? 1 : 0) - pair.lag)),
        ]
    }
}

/// Pearson's and Spearman's coefficients.
private enum Correlation {
    /// Of fewer numbers nothing can be said.
    static let pointsMin = 3

    /// The numbers, or their ranks, with mean 0 and length 1; `nil` when they are all the same.
    static func standardized(_ numbers: ArraySlice<Double>, byRank: Bool) -> [Double]? {
        let values = byRank ? ranks(of: Array(numbers)) : Array(numbers)
        let mean = values.reduce(0, +) / Double(values.count)
        let centred = values.map { $0 - mean }
        let length = centred.reduce(0) { $0 + $1 * $1 }.squareRoot()
        if values.allSatisfy({ $0 == values[0] }) || length == 0 { return nil }
        return centred.map { $0 / length }
    }

    static func product(_ left: [Double], _ right: [Double]) -> Double {
        var sum = 0.0
        for index in left.indices { sum += left[index] * right[index] }
        return min(max(sum, -1), 1)
    }

    /// Equal numbers share the mean of their ranks.
    private static func ranks(of numbers: [Double]) -> [Double] {
        let order = numbers.indices.sorted { numbers[$0] < numbers[$1] }
        var ranks = [Double](repeating: 0, count: numbers.count)
        var start = 0
        while start < order.count {
            var end = start + 1
            while end < order.count, numbers[order[end]] == numbers[order[start]] { end += 1 }
            for position in start..<end { ranks[order[position]] = Double(start + end - 1) / 2 }
            start = end
        }
        return ranks
    }
}
