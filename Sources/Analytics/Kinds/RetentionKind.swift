/// How many subjects that came for the first time in a period return in the periods after it.
///
/// A subject belongs to the cohort of the period of its first event of type `first` (of any type, if none
/// is named) in the range. It has returned in a later period when it has an event of type `return` (of any
/// type, if none is named) there. Periods are those of UTC: weeks begin on Monday.
///
/// An event costs O(1), a subject two words: its cohort, and a bit for each period. When the subjects'
/// bound is reached the counts are estimates, see ``SubjectTable``.
package struct RetentionKind: AnalysisKind {
    package static let name = "retention"
    package static let note = "How many subjects return in the periods after that of their first event."
    package static let parameters = [
        Parameter(
            "period",
            .choice(["hour", "day", "week"]),
            .standard("day"),
            "The length of rows and columns."
        ),
        Parameter(
            "periods",
            .integer(1...Int64(AnalysisLimits.periodsMax)),
            .standard(8),
            "How many columns there are, that of the cohort included."
        ),
        Parameter(
            "first",
            .text(bytesMax: 255),
            .optional,
            "The type that makes a subject part of a cohort."
        ),
        Parameter("return", .text(bytesMax: 255), .optional, "The type that counts as a return."),
    ]

    private struct State: Sendable {
        let cohort: Int
        /// Bit k: returned in the k-th period after the cohort's.
        var returns: UInt64 = 0
    }

    private let first: UInt64?
    private let returning: UInt64?
    private let columns: Int
    private let buckets: TimeBuckets
    package let needs: AnalysisNeeds
    private var subjects: SubjectTable<State>
    private var withoutSubject: Int64 = 0

    private static let microsecondsPerHour: Int64 = 3_600_000_000
    /// From the first Monday of 1970, the 5th of January, back to its start.
    private static let mondayOffset: Int64 = 4 * 24 * microsecondsPerHour

    package init(_ parameters: Parameters, limits: AnalysisLimits) throws(ParameterError) {
        let (firstType, returnType) = (parameters.text("first"), parameters.text("return"))
        first = firstType.map { hash64($0.utf8.span) }
        returning = returnType.map { hash64($0.utf8.span) }
        columns = parameters.integer("periods") ?? 1
        let hours: Int64 =
            switch parameters.text("period") {
            case "hour": 1
            case "week": 168
            default: 24
            }
        let offset = hours == 168 ? Self.mondayOffset : 0
        buckets = Self.buckets(parameters.range, length: hours * Self.microsecondsPerHour, offset: offset)
        if buckets.count > AnalysisLimits.cohortsMax {
            let most = AnalysisLimits.cohortsMax
            throw ParameterError("/period", "the range has \(buckets.count) of them, \(most) are allowed")
        }
        let types: [String] =
            if let firstType, let returnType {
                firstType == returnType ? [firstType] : [firstType, returnType]
            } else {
                []
            }
        needs = parameters.needs(types: types)
        subjects = SubjectTable(bytesMax: limits.subjectBytesMax)
    }

    /// The periods of the calendar that the range touches.
    private static func buckets(_ range: Range<Int64>, length: Int64, offset: Int64) -> TimeBuckets {
        let (quotient, remainder) = (range.lowerBound - offset).quotientAndRemainder(dividingBy: length)
        let start = (quotient - (remainder < 0 ? 1 : 0)) * length + offset
        // At most 292,471 years in hours: no overflow.
        return TimeBuckets(
            start: start,
            step: length,
            count: Int((range.upperBound - 1 - start) / length) + 1
        )
    }

    package mutating func add(_ event: AnalysisEvent) {
        guard let subject = event.subjectHash else {
            withoutSubject += 1
            return
        }
        guard let period = buckets.index(of: event.time) else { return }
        let type = hash64(event.type.utf8.span)
        if let position = subjects.position(of: subject) {
            let column = period - subjects.states[position].cohort
            if returning == nil || returning == type, column < columns {
                subjects.states[position].returns |= 1 << UInt64(column)
            }
        } else if first == nil || first == type {
            _ = subjects.insert(subject, State(cohort: period))
        }
    }

    /// Rows of the periods that have a cohort; a row ends with the last period of the range.
    package func result() -> AnalysisValue {
        var table = [[Int64]](repeating: [Int64](repeating: 0, count: columns), count: buckets.count)
        for state in subjects.states {
            table[state.cohort][0] += subjects.weight
            for column in 1..<max(columns, 1) where state.returns & (1 << UInt64(column)) != 0 {
                table[state.cohort][column] += subjects.weight
            }
        }
        let rows: [AnalysisValue] = table.indices.compactMap { cohort in
            if table[cohort][0] == 0 { return nil }
            let cells = table[cohort].prefix(buckets.count - cohort)
            return ["from": .time(buckets.time(of: cohort)), "subjects": .list(cells.map { .integer($0) })]
        }
        return [
            "cohorts": .list(rows),
            "without_subject": .integer(withoutSubject),
            "sample": subjects.sample,
            "truncated": false,
            "exact": .flag(subjects.level == 0),
        ]
    }
}
