import Events

/// What `/v1/stats/types`, `/sources` or `/subjects` was asked for, checked.
struct RankingQuery: Equatable, Sendable {
    /// What is ranked by its number of events.
    enum Column: String, Sendable {
        case type, source, subject

        /// Members of this name hold the list.
        var plural: String { rawValue + "s" }

        /// What else may be asked for: a part of the events.
        var filters: [String] { Self.all.filter { $0 != rawValue } }

        private static let all = ["type", "source"]
    }

    static func parameters(_ column: Column) -> Set<String> {
        Set(["from", "to", "limit"] + column.filters)
    }

    private static let minute: Int64 = 60_000_000
    private static let hour: Int64 = 3_600_000_000

    let column: Column
    let type: String?
    let source: String?
    /// Microseconds since 1970, of the events' time; whole minutes, but for subjects.
    let from: Int64
    /// Exclusive.
    let to: Int64
    let limit: Int

    /// Checks the parameters; without `to` it is about all up to the minute that `now` is in.
    ///
    /// Without `from` it is about all there is, but for subjects: no rollup counts them, so it is about the
    /// last hour.
    init(
        _ column: Column,
        _ parameters: ReadParameters,
        now: Int64,
        limits: InsightLimits
    ) throws(ReadError) {
        self.column = column
        type = try parameters.text("type", bytesMax: limits.parameterBytesMax)
        source = try parameters.text("source", bytesMax: limits.parameterBytesMax)
        limit = try parameters.integer("limit", in: 1...limits.rankingLimitMax) ?? limits.rankingLimitDefault
        let to = try parameters.time("to") ?? SeriesQuery.ceiling(now + 1, Self.minute)
        let first = column == .subject ? to - Self.hour : Timestamp.range.lowerBound
        let from = try parameters.time("from") ?? min(first, to)
        if from > to { throw .invalid(parameter: "to", "\"to\" is before \"from\".") }
        self.from = column == .subject ? from : SeriesQuery.floor(from, Self.minute)
        self.to = column == .subject ? to : SeriesQuery.ceiling(to, Self.minute)
    }

    /// The most frequent, those first, in SQL: name, events, and for subjects when the last one was.
    var topSQL: String {
        """
        SELECT \(column.rawValue) AS name, \(column == .subject ? "count(*)" : "sum(events)") AS count
          FROM \(table) WHERE ($1::text IS NULL OR type = $1) AND ($2::text IS NULL OR source = $2)
            \(column == .subject ? "AND subject IS NOT NULL" : "")
          GROUP BY name ORDER BY count DESC, name LIMIT \(limit)
        """
    }

    /// The sketches of subjects of some of them, in the order of their names.
    var sketchesSQL: String {
        """
        SELECT \(column.rawValue) AS name, subjects FROM \(table)
          WHERE ($1::text IS NULL OR type = $1) AND ($2::text IS NULL OR source = $2)
            AND \(column.rawValue) = ANY ($3::text[]) AND subjects IS NOT NULL
          ORDER BY name
        """
    }

    private var table: String {
        if column != .subject { return RollupRange(from: from, to: to).table }
        // Plain bounds, by which partitions are pruned.
        let (first, end) = (EventFilter.text(from), EventFilter.text(to))
        return "(SELECT * FROM events WHERE ts >= '\(first)' AND ts < '\(end)') AS r"
    }
}
