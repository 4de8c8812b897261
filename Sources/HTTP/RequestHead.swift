/// One request's line and fields: ranges into a copy of the head's bytes.
///
/// A connection keeps one value and lets the parser fill it again and again, so that steady traffic allocates
/// nothing. Nothing here is a `String` until somebody asks for one.
package struct RequestHead: Sendable {
    /// One field line: where its name and its value are.
    package struct Field: Equatable, Sendable {
        package let name: Range<Int>
        /// Without the whitespace around it.
        package let value: Range<Int>
    }

    /// The head as it came, the last empty line included.
    package internal(set) var bytes: [UInt8] = []
    package var method = Method.other
    package internal(set) var methodRange = 0..<0
    /// The whole request-target.
    package internal(set) var target = 0..<0
    /// Host and port of an absolute-form or authority-form target; they then count instead of the Host field.
    package internal(set) var authority: Range<Int>?
    /// The raw path; empty for an absolute target without one and for CONNECT, `*` for the asterisk-form.
    package var path = 0..<0
    /// The raw query without its `?`.
    package var query: Range<Int>?
    /// The x of HTTP/1.x.
    package var versionMinor = 1
    /// Whether the client lets the connection stay open (RFC 9112 9.3).
    package var keepsAlive = true
    /// Whether the client waits for a 100 (Continue) before it sends the body.
    package var expectsContinue = false
    package var framing = BodyFraming.none

    private var fields: [PackedField] = []
    /// A bit for each known field that came: most questions are about fields that did not.
    private var seen: UInt32 = 0
    /// A bit for each known field that came more than once.
    private var repeated: UInt32 = 0

    /// An empty head, for a parser to fill.
    package init() {}

    /// How many field lines there are.
    package var fieldCount: Int { fields.count }

    /// The field line at `position`, in the order of arrival.
    package func field(at position: Int) -> Field { fields[position].unpacked }

    /// The value of the first line of that field.
    package func value(_ name: KnownField) -> Range<Int>? {
        guard has(name) else { return nil }
        for field in fields where field.known == name.rawValue { return field.unpacked.value }
        return nil
    }

    /// The value of the first line of a field by its lower-case name.
    package func value(named lowercased: String) -> Range<Int>? {
        for field in fields {
            let field = field.unpacked
            if bytes.span.matches(field.name, lowercased: lowercased) { return field.value }
        }
        return nil
    }

    /// Whether a line of that field came.
    package func has(_ name: KnownField) -> Bool { seen & name.bit != 0 }

    /// Whether more than one line of that field came.
    package func isRepeated(_ name: KnownField) -> Bool { repeated & name.bit != 0 }

    /// The values of all lines of that field, joined by commas: what a list field means (RFC 9110 5.3).
    package func list(_ name: KnownField) -> [UInt8]? {
        guard has(name) else { return nil }
        var joined: [UInt8] = []
        for field in fields where field.known == name.rawValue {
            if !joined.isEmpty { joined.append(.comma) }
            joined.append(contentsOf: bytes[field.unpacked.value])
        }
        return joined
    }

    /// The bytes of `range` as text, with U+FFFD for what is not UTF-8.
    ///
    /// For cold paths.
    package func string(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

    /// Forgets the request; without `keepingCapacity` also its storage, for a connection that goes idle.
    package mutating func removeAll(keepingCapacity: Bool) {
        guard keepingCapacity else {
            self = RequestHead()
            return
        }
        bytes.removeAll(keepingCapacity: true)
        fields.removeAll(keepingCapacity: true)
        (seen, repeated) = (0, 0)
        method = .other
        (methodRange, target, path) = (0..<0, 0..<0, 0..<0)
        (authority, query) = (nil, nil)
        (versionMinor, keepsAlive, expectsContinue, framing) = (1, true, false, .none)
    }

    func isLine(_ position: Int, of name: KnownField) -> Bool { fields[position].known == name.rawValue }

    /// Files one field line.
    mutating func append(name: Range<Int>, value: Range<Int>, in input: Span<UInt8>) throws(RequestError) {
        let known = KnownField.find(input, name)
        fields.append(PackedField(name: name, value: value, known: known?.rawValue ?? PackedField.unknown))
        guard let known else { return }
        if has(known) {
            if known.isSingleton { throw .repeatedField(offset: name.lowerBound) }
            repeated |= known.bit
        }
        seen |= known.bit
    }
}

/// A field line in 20 bytes, so that a hundred of them are 2 KB of a connection's memory.
private struct PackedField: Sendable {
    static let unknown = UInt8.max

    let nameStart: UInt32
    let valueStart: UInt32
    let valueCount: UInt32
    let nameCount: UInt32
    let known: UInt8

    init(name: Range<Int>, value: Range<Int>, known: UInt8) {
        nameStart = UInt32(name.lowerBound)
        nameCount = UInt32(name.count)
        valueStart = UInt32(value.lowerBound)
        valueCount = UInt32(value.count)
        self.known = known
    }

    var unpacked: RequestHead.Field {
        let (name, value) = (Int(nameStart), Int(valueStart))
        return .init(name: name..<name + Int(nameCount), value: value..<value + Int(valueCount))
    }
}
