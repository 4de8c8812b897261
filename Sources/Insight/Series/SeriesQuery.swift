/// What `/v1/stats/series` was asked for, checked.
struct SeriesQuery: Equatable, Sendable {
    enum Metric: String, CaseIterable, Sendable {
        case count, rate, subjects
        case p50, p90, p95, p99, min, max, avg, sum

        /// Whether it is about a numeric field of the events.
        var needsField: Bool {
            switch self {
            case .count, .rate, .subjects: false
            case .p50, .p90, .p95, .p99, .min, .max, .avg, .sum: true
            }
        }
    }

    static let parameters: Set<String> = ["metric", "type", "source", "field", "from", "to", "step"]

    private static let minute: Int64 = 60_000_000

    let metric: Metric
    let type: String?
    let source: String?
    let field: String?
    /// Microseconds since 1970, whole minutes: the rollups know no shorter time.
    let from: Int64
    let to: Int64
    /// Microseconds, whole minutes.
    let step: Int64

    /// Checks the parameters; without `to` the series ends with the step that `now` is in, without `from`
    /// it begins an hour before its end.
    init(_ parameters: ReadParameters, now: Int64, pointsMax: Int) throws(ReadError) {
        metric = try parameters.choice("metric") ?? .count
        type = try parameters.text("type")
        source = try parameters.text("source")
        field = try parameters.text("field")
        if metric.needsField, field == nil { throw .missing(parameter: "field") }
        if let field, !metric.needsField || !field.hasPrefix("/") {
            throw .invalid(
                parameter: "field",
                "A field is a JSON pointer into data, such as \"/price\", and goes with p50 to sum."
            )
        }
        step =
            try parameters.text("step").map { text throws(ReadError) in try Self.step(text) } ?? Self.minute
        let to = try parameters.time("to") ?? Self.ceiling(now + 1, step)
        let from = try parameters.time("from") ?? (to - 60 * Self.minute)
        if from > to { throw .invalid(parameter: "to", "\"to\" is before \"from\".") }
        self.from = Self.floor(from, Self.minute)
        self.to = Self.ceiling(to, Self.minute)
        if pointCount > Int64(pointsMax) {
            throw .invalid(parameter: "step", "The series would have more than \(pointsMax) points.")
        }
    }

    /// The beginning of the first bucket: buckets are whole steps since 1970.
    var firstBucket: Int64 { Self.floor(from, step) }

    var pointCount: Int64 { to > from ? (Self.ceiling(to, step) - firstBucket) / step : 0 }

    var stepSeconds: Int64 { step / 1_000_000 }

    /// A number and a unit; a day is 24 hours.
    private static func step(_ text: String) throws(ReadError) -> Int64 {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]
        guard let unit = text.last.flatMap({ units[$0] }), text.utf8.count <= 9,
            text.dropLast().utf8.allSatisfy({ 0x30...0x39 ~= $0 }), let number = Int64(text.dropLast()),
            number > 0
        else {
            throw .invalid(parameter: "step", "A step is a number with s, m, h or d, such as 5m.")
        }
        let seconds = number * unit
        guard seconds % 60 == 0, seconds <= 366 * 86_400 else {
            throw .invalid(parameter: "step", "A step is a number of whole minutes, up to a year.")
        }
        return seconds * 1_000_000
    }

    static func floor(_ time: Int64, _ step: Int64) -> Int64 {
        let remainder = time % step
        return time - (remainder < 0 ? remainder + step : remainder)
    }

    static func ceiling(_ time: Int64, _ step: Int64) -> Int64 { -floor(-time, step) }
}
