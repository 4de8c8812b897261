@testable import Analytics

/// What the kinds should find, by holding all events and looking at every possibility; slow and plain.
enum Exact {
    static func bySubject(_ events: [AnalysisEvent]) -> [String: [AnalysisEvent]] {
        var groups: [String: [AnalysisEvent]] = [:]
        for event in events { if let subject = event.subject { groups[subject, default: []].append(event) } }
        return groups
    }

    // MARK: Funnel

    /// How many subjects have reached each step: every first step is tried, and from there the earliest event
    /// of each next one.
    static func funnel(_ events: [AnalysisEvent], steps: [String], window: Int64) -> [Int64] {
        var counts = [Int64](repeating: 0, count: steps.count)
        for events in bySubject(events).values {
            for step in 0..<reached(events, steps, window) { counts[step] += 1 }
        }
        return counts
    }

    static func reached(_ events: [AnalysisEvent], _ steps: [String], _ window: Int64) -> Int {
        var best = 0
        for start in events.indices where events[start].type == steps[0] {
            var depth = 1
            for event in events[(start + 1)...] where depth < steps.count {
                if event.time - events[start].time > window { break }
                if event.type == steps[depth] { depth += 1 }
            }
            best = max(best, depth)
        }
        return best
    }

    // MARK: Retention

    /// By cohort: how many of it returned in each period; periods are numbered from 0 at `start`.
    static func retention(
        _ events: [AnalysisEvent],
        start: Int64,
        period: Int64,
        columns: Int,
        first: String? = nil,
        returning: String? = nil
    ) -> [Int: [Int64]] {
        var table: [Int: [Int64]] = [:]
        for events in bySubject(events).values {
            guard let begin = events.firstIndex(where: { first == nil || $0.type == first }) else { continue }
            let cohort = Int((events[begin].time - start) / period)
            var seen: Set<Int> = [0]
            for event in events[(begin + 1)...] where returning == nil || event.type == returning {
                seen.insert(Int((event.time - start) / period) - cohort)
            }
            var row = table[cohort] ?? [Int64](repeating: 0, count: columns)
            for column in seen where column < columns { row[column] += 1 }
            table[cohort] = row
        }
        return table
    }

    // MARK: Sessions and paths

    /// The events of each session.
    static func sessions(_ events: [AnalysisEvent], gap: Int64) -> [[AnalysisEvent]] {
        bySubject(events).values.flatMap { events in
            var sessions: [[AnalysisEvent]] = []
            for event in events {
                if let last = sessions.last?.last, event.time - last.time <= gap {
                    sessions[sessions.count - 1].append(event)
                } else {
                    sessions.append([event])
                }
            }
            return sessions
        }
    }

    static func paths(_ events: [AnalysisEvent], length: Int, gap: Int64, collapse: Bool) -> [[String]: Int64]
    {
        var counts: [[String]: Int64] = [:]
        for session in sessions(events, gap: gap) {
            var types = session.map(\.type)
            if collapse {
                types = types.enumerated().filter { $0.offset == 0 || types[$0.offset - 1] != $0.element }
                    .map(\.element)
            }
            guard types.count >= length else { continue }
            for start in 0...types.count - length {
                counts[Array(types[start..<start + length]), default: 0] += 1
            }
        }
        return counts
    }

    // MARK: Values

    /// Counts by value, which its description stands for.
    static func counts(_ events: [AnalysisEvent], of value: (AnalysisEvent) -> FieldValue?) -> [String: Int64]
    {
        var counts: [String: Int64] = [:]
        for event in events { if let value = value(event) { counts["\(value.value)", default: 0] += 1 } }
        return counts
    }

    static func quantile(_ numbers: [Double], _ share: Double) -> Double {
        numbers.sorted()[Int(share * Double(numbers.count - 1))]
    }

    // MARK: Series

    /// The scores of a series, each window sorted anew.
    static func scores(_ series: [Double], season: Int?, countsEvents: Bool) -> [Double] {
        let radius = season.map { $0 / 2 } ?? 12
        let width = min(2 * radius + 1, series.count)
        let levels = series.indices.map { index in
            let start = min(max(index - radius, 0), series.count - width)
            return middle(series[start..<start + width]) ?? .nan
        }
        let offsets = (0..<(season ?? 1)).map { phase -> Double in
            guard let season else { return 0 }
            return middle(series.indices.filter { $0 % season == phase }.map { series[$0] - levels[$0] }) ?? 0
        }
        let expected = series.indices.map { levels[$0] + offsets[$0 % offsets.count] }
        let scale = 1.4826 * (middle(zip(series, expected).map { abs($0 - $1) }) ?? 0)
        return zip(series, expected).map { value, expected in
            let least = countsEvents ? max(expected, 1).squareRoot() : 0.01 * abs(expected)
            let score = value == expected ? 0 : (value - expected) / max(scale, least, .leastNormalMagnitude)
            return score.isNaN ? 0 : min(max(score, -1e9), 1e9)
        }
    }

    static func middle(_ numbers: some Sequence<Double>) -> Double? {
        let sorted = numbers.filter { !$0.isNaN }.sorted()
        if sorted.isEmpty { return nil }
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }

    /// Pearson's coefficient by its textbook formula; `nil` when one of the series is constant.
    static func pearson(_ left: [Double], _ right: [Double]) -> Double? {
        let count = Double(left.count)
        let (meanLeft, meanRight) = (left.reduce(0, +) / count, right.reduce(0, +) / count)
        var (both, squaresLeft, squaresRight) = (0.0, 0.0, 0.0)
        for (a, b) in zip(left, right) {
            both += (a - meanLeft) * (b - meanRight)
            squaresLeft += (a - meanLeft) * (a - meanLeft)
            squaresRight += (b - meanRight) * (b - meanRight)
        }
        if Set(left).count < 2 || Set(right).count < 2 { return nil }
        return both / (squaresLeft * squaresRight).squareRoot()
    }

    /// Ranks by counting what is less and what is equal.
    static func ranks(_ numbers: [Double]) -> [Double] {
        numbers.map { number in
            let less = numbers.count { $0 < number }
            let equal = numbers.count { $0 == number }
            return Double(less) + Double(equal - 1) / 2
        }
    }

    static func counts(_ events: [AnalysisEvent], of type: String, step: Int64, count: Int) -> [Double] {
        var counts = [Double](repeating: 0, count: count)
        for event in events where event.type == type {
            let index = Int(event.time / step)
            if index < count { counts[index] += 1 }
        }
        return counts
    }
}
