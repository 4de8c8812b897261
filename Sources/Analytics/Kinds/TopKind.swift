/// The most frequent values of an attribute or field, with bounds of their counts.
///
/// An event costs O(log counters); the counters are all that is held, see ``HeavyHitters``. With more
/// different values than counters each count is too high by at most its `error`, which is at most the
/// events divided by the counters, and a value that is not listed has at most `others_max`.
package struct TopKind: AnalysisKind {
    package static let name = "top"
    package static let note =
        "The most frequent values of an attribute or field, with bounds of their counts."
    package static let parameters = [
        Parameter.types,
        Parameter("by", .part, .standard("type"), "What is counted."),
        Parameter(
            "limit",
            .integer(1...Int64(AnalysisLimits.rowsMax)),
            .standard(10),
            "How many values to list."
        ),
    ]

    private let part: EventPart
    private let limit: Int
    private let valueBytesMax: Int
    package let needs: AnalysisNeeds
    private var hitters: HeavyHitters<UInt64>
    private var values: [UInt64: FieldValue] = [:]
    private var different = HyperLogLog()
    private var withoutValue: Int64 = 0

    package init(_ parameters: Parameters, limits: AnalysisLimits) throws(ParameterError) {
        var fields: [String] = []
        part = parameters.part("by", fields: &fields) ?? .type
        limit = parameters.integer("limit") ?? 1
        valueBytesMax = limits.valueBytesMax
        needs = parameters.needs(fields: fields)
        hitters = HeavyHitters(capacity: max(limits.countersMax, limit + 1))
    }

    package mutating func add(_ event: AnalysisEvent) {
        guard let value = part.value(of: event) else {
            withoutValue += 1
            return
        }
        let hash = value.hash
        different.insert(hash: hash)
        switch hitters.add(hash) {
        case .counted: break
        case .entered: values[hash] = value.shown(bytesMax: valueBytesMax)
        case .displaced(let other):
            values[other] = nil
            values[hash] = value.shown(bytesMax: valueBytesMax)
        }
    }

    package func result() -> AnalysisValue {
        let sorted = hitters.entries.sorted { ($0.count, $1.key) > ($1.count, $0.key) }
        let next = sorted.count > limit ? sorted[limit].count : hitters.countOfOthersMax
        let rows = sorted.prefix(limit).map { entry -> AnalysisValue in
            [
                "value": values[entry.key]?.value ?? .null,
                "count": .integer(entry.count),
                "error": .integer(entry.error),
                // No value that is not listed can be more frequent.
                "certain": .flag(entry.count - entry.error >= next),
            ]
        }
        return [
            "values": .list(rows),
            "total": .integer(hitters.total),
            "different": .integer(Int64(different.estimate)),
            "different_standard_error": .number(different.standardError),
            "others_max": .integer(next),
            "without_value": .integer(withoutValue),
            "truncated": .flag(sorted.count > limit || !hitters.isExact),
            "exact": .flag(hitters.isExact),
        ]
    }
}
