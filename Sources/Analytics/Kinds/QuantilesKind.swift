/// Quantiles of a numeric field, for all events and by group.
///
/// An event costs O(log bins), a group at most 2,048 bins, see ``QuantileSketch``: every quantile is within
/// 1 % of the value at its rank ⌊q (count - 1)⌋; least and greatest are exact. Groups beyond their bound
/// are put together as the others.
package struct QuantilesKind: AnalysisKind {
    package static let name = "quantiles"
    package static let note = "Quantiles of a numeric field within 1 %, for all events and by group."
    package static let parameters = [
        Parameter.types,
        Parameter("field", .pointer, .required, "The field, as a JSON pointer into an event's data."),
        Parameter("by", .part, .optional, "What to group by."),
        Parameter(
            "shares",
            .list(of: .number(0...1), 1...100),
            .standard([0.5, 0.9, 0.95, 0.99]),
            "Which quantiles: 0.5 is the median."
        ),
    ]

    private let part: EventPart?
    private let shares: [Double]
    package let needs: AnalysisNeeds
    private var all = QuantileSketch()
    private var table: GroupTable
    private var groups: [QuantileSketch] = []
    private var absent = QuantileSketch()
    private var others = QuantileSketch()
    private var withoutNumber: Int64 = 0

    package init(_ parameters: Parameters, limits: AnalysisLimits) throws(ParameterError) {
        var fields = [parameters.text("field") ?? ""]
        part = parameters.part("by", fields: &fields)
        shares = parameters.numbers("shares")
        needs = parameters.needs(fields: fields)
        table = GroupTable(capacity: limits.groupsMax, valueBytesMax: limits.valueBytesMax)
    }

    package mutating func add(_ event: AnalysisEvent) {
        guard let number = EventPart.field(0).value(of: event)?.number else {
            withoutNumber += 1
            return
        }
        all.insert(number)
        guard let part else { return }
        switch table.number(of: part.value(of: event)) {
        case GroupTable.absent: absent.insert(number)
        case GroupTable.others: others.insert(number)
        case let group:
            if group == groups.count { groups.append(QuantileSketch()) }
            groups[group].insert(number)
        }
    }

    /// Groups in the order in which they came; then events without one, then those of all other groups.
    package func result() -> AnalysisValue {
        var rows = zip(table.values, groups).map { value, sketch in
            row(of: sketch, adding: ["group": value.value])
        }
        if !absent.isEmpty { rows.append(row(of: absent, adding: ["group": .null])) }
        if !others.isEmpty { rows.append(row(of: others, adding: ["others": true])) }
        return [
            "all": row(of: all),
            "groups": part == nil ? .null : .list(rows),
            "without_number": .integer(withoutNumber),
            "relative_error": 0.01,
            "truncated": .flag(!others.isEmpty),
            "exact": false,
        ]
    }

    private func row(
        of sketch: QuantileSketch,
        adding members: [String: AnalysisValue] = [:]
    ) -> AnalysisValue {
        var row = members
        row["count"] = .integer(sketch.count)
        row["min"] = .optional(sketch.min)
        row["max"] = .optional(sketch.max)
        row["mean"] = .optional(sketch.mean)
        row["quantiles"] = .list(
            shares.map { ["share": .number($0), "value": .optional(sketch.quantile($0))] }
        )
        return .object(row)
    }
}
