/// One parameter of a kind of analysis: its JSON Schema and its check come from the same description.
package struct Parameter: Sendable {
    /// What values are allowed.
    package indirect enum Shape: Sendable {
        case text(bytesMax: Int)
        /// A JSON pointer into an event's data.
        case pointer
        /// `type`, `source`, `subject`, or a JSON pointer into an event's data.
        case part
        /// RFC 3339.
        case time
        /// A whole number and a unit: `ms s m h d w`. In microseconds.
        case duration(ClosedRange<Int64>)
        case integer(ClosedRange<Int64>)
        case number(ClosedRange<Double>)
        case choice([String])
        case flag
        case list(of: Shape, ClosedRange<Int>)
    }

    package enum Presence: Equatable, Sendable {
        case required
        case optional
        case standard(AnalysisValue)
    }

    let name: String
    let shape: Shape
    let presence: Presence
    /// What it means, in one sentence.
    let note: String

    init(_ name: String, _ shape: Shape, _ presence: Presence, _ note: String) {
        self.name = name
        self.shape = shape
        self.presence = presence
        self.note = note
    }

    /// Those that every kind has: which events it is about.
    static let selection = [
        Parameter("from", .time, .required, "The first time that counts."),
        Parameter("to", .time, .required, "The first time after it that counts no more."),
        Parameter("source", .text(bytesMax: 1_024), .optional, "Only events of this source."),
    ]

    /// For the kinds that do not name their types otherwise.
    static let types = Parameter(
        "types",
        .list(of: .text(bytesMax: 255), 1...100),
        .optional,
        "Only events of these types."
    )
}

// MARK: JSON Schema

extension Parameter {
    /// The JSON Schema (2020-12) of an object of these parameters.
    static func schema(of parameters: [Parameter]) -> AnalysisValue {
        var properties: [String: AnalysisValue] = [:]
        for parameter in parameters { properties[parameter.name] = parameter.schema }
        return [
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": .object(properties),
            "required": .list(parameters.filter { $0.presence == .required }.map { .text($0.name) }),
            "additionalProperties": false,
        ]
    }

    private var schema: AnalysisValue {
        var members = shape.schema
        members["description"] = .text(note)
        if case .standard(let value) = presence { members["default"] = value }
        return .object(members)
    }
}

extension Parameter.Shape {
    /// Lengths are in characters in JSON Schema and in bytes here, so a text of others than ASCII may pass
    /// the schema and be refused.
    fileprivate var schema: [String: AnalysisValue] {
        switch self {
        case .text(let bytesMax):
            ["type": "string", "minLength": 1, "maxLength": .integer(Int64(bytesMax))]
        case .pointer:
            [
                "type": "string", "pattern": "^(/([^/~]|~[01])*)+$",
                "maxLength": .integer(Int64(Self.pointerBytesMax)),
            ]
        case .part:
            [
                "type": "string", "pattern": "^(type|source|subject|(/([^/~]|~[01])*)+)$",
                "maxLength": .integer(Int64(Self.pointerBytesMax)),
            ]
        case .time: ["type": "string", "format": "date-time"]
        case .duration: ["type": "string", "pattern": "^[1-9][0-9]{0,8}(ms|s|m|h|d|w)$"]
        case .integer(let range):
            ["type": "integer", "minimum": .integer(range.lowerBound), "maximum": .integer(range.upperBound)]
        case .number(let range):
            ["type": "number", "minimum": .number(range.lowerBound), "maximum": .number(range.upperBound)]
        case .choice(let words): ["type": "string", "enum": .list(words.map { .text($0) })]
        case .flag: ["type": "boolean"]
        case .list(let element, let range):
            [
                "type": "array", "items": .object(element.schema),
                "minItems": .integer(Int64(range.lowerBound)), "maxItems": .integer(Int64(range.upperBound)),
            ]
        }
    }

    static var pointerBytesMax: Int { 256 }
}

// MARK: Checks

/// Why parameters cannot be worked with, and where.
package struct ParameterError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A JSON pointer into the parameters.
    package let pointer: String
    package let detail: String

    package init(_ pointer: String, _ detail: String) {
        self.pointer = pointer
        self.detail = detail
    }

    package var description: String { pointer.isEmpty ? detail : "\(pointer): \(detail)" }
}

extension Parameter.Shape {
    /// Throws unless the value is one of this shape.
    func check(_ value: AnalysisValue, at pointer: String) throws(ParameterError) {
        switch (self, value) {
        case (.text(let bytesMax), .text(let text)):
            if text.isEmpty || text.utf8.count > bytesMax {
                throw ParameterError(pointer, "a text of 1 to \(bytesMax) bytes is needed")
            }
        case (.pointer, .text(let text)):
            if !Self.isPointer(text) { throw ParameterError(pointer, "a JSON pointer is needed") }
        case (.part, .text(let text)):
            if !["type", "source", "subject"].contains(text), !Self.isPointer(text) {
                throw ParameterError(pointer, "type, source, subject or a JSON pointer is needed")
            }
        case (.time, .text): break
        case (.duration(let range), .text(let text)):
            guard let duration = Self.duration(text) else {
                throw ParameterError(pointer, "a number and one of ms, s, m, h, d, w is needed, as in 30m")
            }
            if !range.contains(duration) {
                let (least, most) = (Self.text(of: range.lowerBound), Self.text(of: range.upperBound))
                throw ParameterError(pointer, "\(least) to \(most) are allowed")
            }
        case (.integer(let range), .integer(let number)):
            if !range.contains(number) {
                throw ParameterError(pointer, "\(range.lowerBound) to \(range.upperBound) are allowed")
            }
        case (.number(let range), .integer(let number)):
            try Self.check(Double(number), in: range, at: pointer)
        case (.number(let range), .number(let number)): try Self.check(number, in: range, at: pointer)
        case (.choice(let words), .text(let text)):
            if !words.contains(text) {
                throw ParameterError(pointer, "one of \(words.joined(separator: ", ")) is needed")
            }
        case (.flag, .flag): break
        case (.list(let element, let range), .list(let elements)):
            if !range.contains(elements.count) {
                throw ParameterError(
                    pointer,
                    "\(range.lowerBound) to \(range.upperBound) elements are allowed"
                )
            }
            for (position, value) in elements.enumerated() {
                try element.check(value, at: "\(pointer)/\(position)")
            }
        default: throw ParameterError(pointer, "\(word) is needed")
        }
    }

    private static func check(
        _ number: Double,
        in range: ClosedRange<Double>,
        at pointer: String
    ) throws(ParameterError) {
        if !range.contains(number) {
            throw ParameterError(pointer, "\(range.lowerBound) to \(range.upperBound) are allowed")
        }
    }

    private var word: String {
        switch self {
        case .text, .pointer, .part, .time, .duration, .choice: "a string"
        case .integer: "a whole number"
        case .number: "a number"
        case .flag: "true or false"
        case .list: "an array"
        }
    }

    private static func isPointer(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.first == UInt8(ascii: "/"), bytes.count <= pointerBytesMax else { return false }
        for (position, byte) in bytes.enumerated() where byte == UInt8(ascii: "~") {
            let next = position + 1 < bytes.count ? bytes[position + 1] : 0
            if next != UInt8(ascii: "0") && next != UInt8(ascii: "1") { return false }
        }
        return true
    }

    // MARK: Durations

    private static let units: [(name: String, microseconds: Int64)] = [
        ("w", 604_800_000_000), ("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000),
        ("s", 1_000_000), ("ms", 1_000),
    ]

    /// Microseconds of a text like `90s`; `nil` for any other text.
    static func duration(_ text: String) -> Int64? {
        let digits = text.utf8.prefix { $0 &- UInt8(ascii: "0") < 10 }
        guard 1...9 ~= digits.count, digits.first != UInt8(ascii: "0"),
            let number = Int64(String(decoding: digits, as: UTF8.self)),
            let unit = units.first(where: { $0.name.utf8.elementsEqual(text.utf8.dropFirst(digits.count)) })
        else { return nil }
        let (product, isOverflown) = number.multipliedReportingOverflow(by: unit.microseconds)
        return isOverflown ? nil : product
    }

    /// The shortest text for microseconds that are whole milliseconds.
    static func text(of duration: Int64) -> String {
        let unit = units.first { duration.isMultiple(of: $0.microseconds) } ?? ("us", 1)
        return "\(duration / unit.microseconds)\(unit.name)"
    }
}
