/// The times at which a series is far from what it is at such times as a rule.
///
/// The series is one number for each step of the range, counted from its start: how many events there were,
/// how many subjects, or a statistic of a numeric field. What to expect is a ``SeasonalBaseline``; the
/// score is how many times the usual deviation a number is off.
///
/// Since events come in the order of their times, only one step's sketch is held at a time; the series
/// itself is at most ``AnalysisLimits/bucketsMax`` numbers, or the parameters are refused. An event costs
/// O(log bins) at most, the result O(steps · season) for sorting windows. Counts and sums are exact,
/// subjects within 1.6 % (standard error, exact up to 512), quantiles within 1 %.
package struct AnomaliesKind: AnalysisKind {
    package static let name = "anomalies"
    package static let note = "Times at which a series is far from what it is at such times as a rule."
    package static let parameters = [
        Parameter.types,
        Parameter(
            "metric",
            .choice(Metric.allCases.map(\.rawValue)),
            .standard("count"),
            "What the series is of: events, different subjects, or a statistic of the field."
        ),
        Parameter(
            "field",
            .pointer,
            .optional,
            "The numeric field, for every metric but count and subjects."
        ),
        Parameter(
            "step",
            .duration(1_000_000...2_592_000_000_000),
            .standard("1h"),
            "The length of the pieces, from the start of the range; a shorter rest is left out."
        ),
        Parameter(
            "season",
            .duration(1_000_000...31_536_000_000_000),
            .optional,
            "A multiple of the step; left out, it is a week or a day, if the range has three of it."
        ),
        Parameter("threshold", .number(1...1_000), .standard(4), "The least score of an anomaly."),
        Parameter("limit", .integer(1...Int64(AnalysisLimits.rowsMax)), .standard(100), "How many to list."),
    ]

    enum Metric: String, CaseIterable, Sendable {
        case count, subjects, sum, avg, min, max, p50, p90, p95, p99

        var isOfField: Bool { self != .count && self != .subjects }
    }

    private let metric: Metric
    private let buckets: TimeBuckets
    /// In steps; `nil` for none.
    private let season: Int?
    private let threshold: Double
    private let limit: Int
    package let needs: AnalysisNeeds
    /// Up to the current step; NaN where there is no number.
    private var series: [Double] = []
    private var current = SeriesCell()
    private var leftOut: Int64 = 0

    package init(_ parameters: Parameters, limits: AnalysisLimits) throws(ParameterError) {
        metric = parameters.text("metric").flatMap { Metric(rawValue: $0) } ?? .count
        let field = parameters.text("field")
        if metric.isOfField, field == nil { throw ParameterError("/field", "it is missing") }
        if !metric.isOfField, field != nil {
            throw ParameterError("/field", "the metric \(metric.rawValue) is of no field")
        }
        buckets = try parameters.buckets(step: "step")
        season = try Self.season(parameters.duration("season"), buckets)
        threshold = parameters.number("threshold") ?? 0
        limit = parameters.integer("limit") ?? 1
        needs = parameters.needs(fields: field.map { [$0] } ?? [])
    }

    private static func season(_ asked: Int64?, _ buckets: TimeBuckets) throws(ParameterError) -> Int? {
        guard let asked else {
            for season in [604_800_000_000, 86_400_000_000] as [Int64] {
                let steps = season / buckets.step
                let isWhole = season.isMultiple(of: buckets.step) && steps > 1
                if isWhole, Int64(buckets.count) >= Int64(SeasonalBaseline.seasonsMin) * steps {
                    return Int(steps)
                }
            }
            return nil
        }
        if !asked.isMultiple(of: buckets.step) {
            throw ParameterError("/season", "it is no multiple of the step")
        }
        let steps = asked / buckets.step
        if Int64(buckets.count) / steps < Int64(SeasonalBaseline.seasonsMin) {
            throw ParameterError("/season", "the range has less than \(SeasonalBaseline.seasonsMin) of them")
        }
        return steps == 1 ? nil : Int(steps)
    }

    package mutating func add(_ event: AnalysisEvent) {
        guard let index = buckets.index(of: event.time) else {
            leftOut += 1
            return
        }
        while series.count < index { closeCell() }
        current.add(event, metric)
    }

    private mutating func closeCell() {
        series.append(current.value(metric))
        current = SeriesCell()
    }

    package func result() -> AnalysisValue {
        var whole = self
        while whole.series.count < buckets.count { whole.closeCell() }
        let series = whole.series
        let baseline = SeasonalBaseline(series, season: season, countsEvents: !metric.isOfField)
        let found = series.indices.filter { abs(baseline.scores[$0]) >= threshold }
        let listed = found.sorted { abs(baseline.scores[$0]) > abs(baseline.scores[$1]) }
            .prefix(limit).sorted()
        return [
            "anomalies": .list(listed.map { row(of: $0, series, baseline) }),
            "found": .integer(Int64(found.count)),
            "steps": .integer(Int64(series.count)),
            "season": season.map { .text(Parameter.Shape.text(of: Int64($0) * buckets.step)) } ?? .null,
            "usual_deviation": .optional(baseline.scale),
            "left_out": .integer(leftOut),
            "truncated": .flag(found.count > limit),
            "exact": .flag(metric.isExact),
        ]
    }

    private func row(of index: Int, _ series: [Double], _ baseline: SeasonalBaseline) -> AnalysisValue {
        let (value, expected) = (series[index], baseline.expected[index])
        let isHigh = value > expected
        return [
            "time": .time(buckets.time(of: index)),
            "value": .optional(value),
            "expected": .optional(expected),
            "score": .optional(baseline.scores[index]),
            "direction": isHigh ? "high" : "low",
            "reason": .text(baseline.reason(of: index, metric: metric.rawValue)),
        ]
    }
}

extension AnomaliesKind.Metric {
    /// Whether the series itself is without error.
    fileprivate var isExact: Bool {
        switch self {
        case .count, .sum, .avg, .min, .max: true
        case .subjects, .p50, .p90, .p95, .p99: false
        }
    }
}

/// One step of a series while its events come.
private struct SeriesCell: Sendable {
    private var count: Int64 = 0
    private var subjects = HyperLogLog()
    private var numbers = QuantileSketch()

    mutating func add(_ event: AnalysisEvent, _ metric: AnomaliesKind.Metric) {
        switch metric {
        case .count: count += 1
        case .subjects: if let subject = event.subjectHash { subjects.insert(hash: subject) }
        case .sum, .avg, .min, .max, .p50, .p90, .p95, .p99:
            if let number = EventPart.field(0).value(of: event)?.number { numbers.insert(number) }
        }
    }

    /// NaN where there is none.
    func value(_ metric: AnomaliesKind.Metric) -> Double {
        switch metric {
        case .count: Double(count)
        case .subjects: Double(subjects.estimate)
        case .sum: numbers.isEmpty ? .nan : numbers.sum
        case .avg: numbers.mean ?? .nan
        case .min: numbers.min ?? .nan
        case .max: numbers.max ?? .nan
        case .p50: numbers.quantile(0.5) ?? .nan
        case .p90: numbers.quantile(0.9) ?? .nan
        case .p95: numbers.quantile(0.95) ?? .nan
        case .p99: numbers.quantile(0.99) ?? .nan
        }
    }
}
