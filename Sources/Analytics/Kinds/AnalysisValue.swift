/// A JSON value: what parameters come as, and what results and schemas go as.
///
/// This target imports nothing, so whoever reads and writes the JSON text translates.
package indirect enum AnalysisValue: Equatable, Sendable {
    case null
    case flag(Bool)
    /// A number without a fraction that fits.
    case integer(Int64)
    case number(Double)
    case text(String)
    case list([AnalysisValue])
    case object([String: AnalysisValue])

    /// The member of an object; `nil` for an absent one and for what is no object.
    package subscript(name: String) -> AnalysisValue? {
        if case .object(let members) = self { return members[name] }
        return nil
    }

    /// The element of a list; `nil` beyond its end and for what is no list.
    package subscript(position: Int) -> AnalysisValue? {
        guard case .list(let elements) = self, elements.indices.contains(position) else { return nil }
        return elements[position]
    }

    /// The value, or null where there is none; JSON has no infinities either.
    static func optional(_ value: Double?) -> AnalysisValue {
        guard let value, value.isFinite else { return .null }
        return .number(value)
    }
}

extension AnalysisValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    package init(nilLiteral: ()) { self = .null }
    package init(booleanLiteral value: Bool) { self = .flag(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(floatLiteral value: Double) { self = .number(value) }
    package init(stringLiteral value: String) { self = .text(value) }
    package init(arrayLiteral elements: AnalysisValue...) { self = .list(elements) }
    package init(dictionaryLiteral members: (String, AnalysisValue)...) {
        self = .object(Dictionary(members) { _, last in last })
    }
}
