/// The parameters of one analysis, checked against their descriptions.
package struct Parameters: Sendable {
    /// Which times count, in microseconds since 1970.
    let range: Range<Int64>
    private let members: [String: AnalysisValue]

    /// Checks `value`: an object of these parameters and no others.
    ///
    /// `readTime` gives the microseconds since 1970 of an RFC 3339 text, `nil` for what is none.
    init(
        _ value: AnalysisValue,
        of descriptions: [Parameter],
        readTime: (String) -> Int64?
    ) throws(ParameterError) {
        guard case .object(var members) = value else { throw ParameterError("", "an object is needed") }
        let names = Set(descriptions.map(\.name))
        // The first by name, so that the same mistake gets the same answer.
        if let other = members.keys.filter({ !names.contains($0) }).min() {
            throw ParameterError("/" + Self.escaped(other), "there is no such parameter")
        }
        for description in descriptions {
            let pointer = "/" + description.name
            if let value = members[description.name], value != .null {
                try description.shape.check(value, at: pointer)
                continue
            }
            switch description.presence {
            case .required: throw ParameterError(pointer, "it is missing")
            case .optional: members[description.name] = nil
            case .standard(let value): members[description.name] = value
            }
        }
        self.members = members
        let from = try Self.time("from", of: members, readTime)
        let to = try Self.time("to", of: members, readTime)
        if to <= from { throw ParameterError("/to", "it is not after /from") }
        range = from..<to
    }

    private static func time(
        _ name: String,
        of members: [String: AnalysisValue],
        _ readTime: (String) -> Int64?
    ) throws(ParameterError) -> Int64 {
        guard case .text(let text)? = members[name], let time = readTime(text) else {
            throw ParameterError("/" + name, "a time as in RFC 3339 is needed")
        }
        return time
    }

    /// A name as part of a JSON pointer (RFC 6901, section 3).
    private static func escaped(_ name: String) -> String {
        var output = ""
        for scalar in name.unicodeScalars {
            switch scalar {
            case "~": output += "~0"
            case "/": output += "~1"
            default: output.unicodeScalars.append(scalar)
            }
        }
        return output
    }

    // MARK: Reading what was checked

    func text(_ name: String) -> String? {
        if case .text(let text)? = members[name] { return text }
        return nil
    }

    func texts(_ name: String) -> [String] {
        guard case .list(let elements)? = members[name] else { return [] }
        return elements.compactMap { element in
            if case .text(let text) = element { return text }
            return nil
        }
    }

    func numbers(_ name: String) -> [Double] {
        guard case .list(let elements)? = members[name] else { return [] }
        return elements.compactMap { Self.number($0) }
    }

    func number(_ name: String) -> Double? { members[name].flatMap { Self.number($0) } }

    func integer(_ name: String) -> Int? {
        if case .integer(let number)? = members[name] { return Int(number) }
        return nil
    }

    func flag(_ name: String) -> Bool { members[name] == .flag(true) }

    /// In microseconds.
    func duration(_ name: String) -> Int64? { text(name).flatMap { Parameter.Shape.duration($0) } }

    private static func number(_ value: AnalysisValue) -> Double? {
        switch value {
        case .integer(let number): Double(number)
        case .number(let number): number
        case .null, .flag, .text, .list, .object: nil
        }
    }

    /// What of an event a parameter of shape `part` names; its field, if it is one, is added to `fields`.
    func part(_ name: String, fields: inout [String]) -> EventPart? {
        switch text(name) {
        case nil: return nil
        case "type": return .type
        case "source": return .source
        case "subject": return .subject
        case let pointer?:
            fields.append(pointer)
            return .field(fields.count - 1)
        }
    }

    /// The events of the common parameters, with these fields.
    func needs(types: [String]? = nil, fields: [String] = []) -> AnalysisNeeds {
        AnalysisNeeds(
            range: range,
            types: types ?? texts("types"),
            source: text("source"),
            fields: fields
        )
    }

    /// The range in whole steps from its start; what is left at its end belongs to none.
    func buckets(step name: String) throws(ParameterError) -> TimeBuckets {
        let step = duration(name) ?? 1
        let count = (range.upperBound - range.lowerBound) / step
        if count < 1 { throw ParameterError("/" + name, "it is longer than the range") }
        if count > Int64(AnalysisLimits.bucketsMax) {
            let most = AnalysisLimits.bucketsMax
            throw ParameterError("/" + name, "the range has \(count) of them, \(most) are allowed")
        }
        return TimeBuckets(start: range.lowerBound, step: step, count: Int(count))
    }
}

/// A range of time in equal pieces.
struct TimeBuckets: Equatable, Sendable {
    /// Microseconds since 1970.
    let start: Int64
    /// Microseconds.
    let step: Int64
    let count: Int

    /// The piece that a time lies in; `nil` outside.
    func index(of time: Int64) -> Int? {
        if time < start { return nil }
        let index = (time - start) / step
        return index < Int64(count) ? Int(index) : nil
    }

    func time(of index: Int) -> Int64 { start + Int64(index) * step }
}
