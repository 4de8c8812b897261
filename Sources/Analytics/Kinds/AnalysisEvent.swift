/// One event as the kinds of analysis see it: what ``AnalysisNeeds`` asks for, and no more.
package struct AnalysisEvent: Equatable, Sendable {
    /// Microseconds since 1970.
    package var time: Int64
    package var type: String
    package var source: String
    package var subject: String?
    /// The scalars at ``AnalysisNeeds/fields``, in their order.
    ///
    /// `nil` for null, objects, arrays and what is not there, as are those beyond the end.
    package var fields: [FieldValue?]

    package init(
        time: Int64,
        type: String,
        source: String = "/",
        subject: String? = nil,
        fields: [FieldValue?] = []
    ) {
        self.time = time
        self.type = type
        self.source = source
        self.subject = subject
        self.fields = fields
    }

    /// The hash that stands for the subject.
    var subjectHash: UInt64? { subject.map { hash64($0.utf8.span) } }
}

/// Which events an analysis is to be given, and what of them.
package struct AnalysisNeeds: Equatable, Sendable {
    /// From the first inclusive to the last exclusive, in microseconds since 1970.
    package var range: Range<Int64>
    /// Only these; empty for all.
    package var types: [String]
    package var source: String?
    /// JSON pointers into an event's data.
    package var fields: [String]

    package init(range: Range<Int64>, types: [String] = [], source: String? = nil, fields: [String] = []) {
        self.range = range
        self.types = types
        self.source = source
        self.fields = fields
    }
}

/// A scalar of an event's data.
package enum FieldValue: Equatable, Sendable {
    case number(Double)
    case text(String)
    case flag(Bool)

    var value: AnalysisValue {
        switch self {
        case .number(let number): Int64(exactly: number).map { .integer($0) } ?? .optional(number)
        case .text(let text): .text(text)
        case .flag(let flag): .flag(flag)
        }
    }

    var number: Double? {
        if case .number(let number) = self, number.isFinite { return number }
        return nil
    }

    /// Stands for the value: the text "1", the number 1 and `true` differ.
    var hash: UInt64 {
        switch self {
        case .text(let text): return hash64(text.utf8.span, seed: 1)
        case .flag(let flag): return mixed(flag ? 3 : 2)
        // Both zeros are one number.
        case .number(let number): return mixed(number == 0 ? 4 : number.bitPattern)
        }
    }

    /// Spreads a number over 64 bits (the finalizer of SplitMix64: one to one).
    private func mixed(_ value: UInt64) -> UInt64 {
        var mixed = value &+ 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// The value with a text cut to so many bytes, at a character's end, as it is shown.
    func shown(bytesMax: Int) -> FieldValue {
        guard case .text(let text) = self, text.utf8.count > bytesMax else { return self }
        var kept = ""
        var bytes = 0
        for scalar in text.unicodeScalars {
            bytes += UTF8.width(scalar)
            if bytes > bytesMax { break }
            kept.unicodeScalars.append(scalar)
        }
        return .text(kept + "…")
    }
}

/// What an event is grouped or counted by: an attribute, or a field of its data.
enum EventPart: Equatable, Sendable {
    case type
    case source
    case subject
    /// The position in ``AnalysisNeeds/fields``.
    case field(Int)

    func value(of event: AnalysisEvent) -> FieldValue? {
        switch self {
        case .type: .text(event.type)
        case .source: .text(event.source)
        case .subject: event.subject.map { .text($0) }
        case .field(let position): event.fields.indices.contains(position) ? event.fields[position] : nil
        }
    }
}
