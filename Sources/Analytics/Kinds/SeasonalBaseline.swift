/// What a series is as a rule, and how far each of its numbers is from that: by medians alone, so that the
/// anomalies that are looked for do not spoil what they are compared with.
///
/// - The level at i is the median of a window of one season around i (of 25 numbers without a season),
///   which is moved inwards at both ends.
/// - The season at a phase is the median of what the numbers of this phase are above their levels.
/// - Expected is level plus season. The usual deviation is 1.4826 times the median of the absolute
///   differences, which for a normal distribution is its standard deviation.
/// - The score is the difference in usual deviations. Where these are very small something else takes their
///   place: for counts the deviation of a Poisson distribution, √expected, and 1 at least; else 1 % of what
///   is expected.
struct SeasonalBaseline: Equatable, Sendable {
    /// Fewer make no median worth the name.
    static let seasonsMin = 3
    private static let windowRadius = 12

    /// NaN where the window has no number.
    private(set) var expected: [Double]
    /// Zero where there is no number.
    private(set) var scores: [Double]
    /// The usual deviation.
    private(set) var scale: Double

    /// `series` has NaN for what is missing.
    init(_ series: [Double], season: Int?, countsEvents: Bool) {
        let levels = MovingMedian.levels(of: series, radius: season.map { $0 / 2 } ?? Self.windowRadius)
        let phases = season ?? 1
        var offsets = [Double](repeating: 0, count: phases)
        if season != nil {
            for phase in 0..<phases {
                let above = stride(from: phase, to: series.count, by: phases).map { series[$0] - levels[$0] }
                offsets[phase] = median(above) ?? 0
            }
        }
        let baseline = levels.indices.map { levels[$0] + offsets[$0 % phases] }
        expected = baseline
        scale = 1.4826 * (median(series.indices.map { abs(series[$0] - baseline[$0]) }) ?? 0)
        scores = []
        for index in series.indices {
            let least = countsEvents ? max(baseline[index], 1).squareRoot() : 0.01 * abs(baseline[index])
            let unit = max(scale, least)
            let difference = series[index] - baseline[index]
            // A constant series of zeros, of which one is not: as anomalous as it gets.
            let score = difference == 0 ? 0 : difference / max(unit, Double.leastNormalMagnitude)
            scores.append(score.isNaN ? 0 : min(max(score, -1e9), 1e9))
        }
    }

    /// Why a number is one to look at, for people.
    func reason(of index: Int, metric: String) -> String {
        let score = scores[index]
        let value = expected[index] + 0
        let direction = score > 0 ? "above" : "below"
        return "\(metric) is \(Self.text(abs(score))) times the usual deviation \(direction) the expected "
            + Self.text(value)
    }

    /// Two digits after the point, no more than needed.
    private static func text(_ number: Double) -> String {
        let rounded = (number * 100).rounded() / 100
        if let whole = Int64(exactly: rounded) { return String(whole) }
        return "\(rounded)"
    }
}

/// The median of the numbers that are none of NaN; of an even number the mean of the middle two.
func median(_ numbers: [Double]) -> Double? {
    middle(ofSorted: numbers.filter { !$0.isNaN }.sorted())
}

private func middle(ofSorted numbers: [Double]) -> Double? {
    if numbers.isEmpty { return nil }
    let half = numbers.count / 2
    return numbers.count.isMultiple(of: 2) ? (numbers[half - 1] + numbers[half]) / 2 : numbers[half]
}

/// The median of a window that moves along a series.
private enum MovingMedian {
    /// The window of `2 * radius + 1` numbers around each, moved inwards at the ends; a shorter series is
    /// one window.
    ///
    /// A sorted window is kept, from which one number goes and into which one comes with each step.
    static func levels(of series: [Double], radius: Int) -> [Double] {
        let width = min(2 * radius + 1, series.count)
        var window = series[..<width].filter { !$0.isNaN }.sorted()
        var start = 0
        return series.indices.map { index in
            let wanted = min(max(index - radius, 0), series.count - width)
            while start < wanted {
                remove(series[start], from: &window)
                insert(series[start + width], into: &window)
                start += 1
            }
            return middle(ofSorted: window) ?? .nan
        }
    }

    private static func insert(_ number: Double, into window: inout [Double]) {
        if !number.isNaN { window.insert(number, at: lowerBound(number, in: window)) }
    }

    private static func remove(_ number: Double, from window: inout [Double]) {
        if !number.isNaN { window.remove(at: lowerBound(number, in: window)) }
    }

    private static func lowerBound(_ number: Double, in window: [Double]) -> Int {
        var (low, high) = (0, window.count)
        while low < high {
            let middle = (low + high) / 2
            if window[middle] < number { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
