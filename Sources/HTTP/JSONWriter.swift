/// Writes JSON text (RFC 8259) into an array; commas and colons come by themselves.
///
/// The caller sees to the nesting: a `key` before each value in an object, an end for each beginning.
package struct JSONWriter: Sendable {
    /// What has been written.
    package private(set) var bytes: [UInt8]
    /// Whether the next value or key follows another one.
    private var needsComma = false

    /// A writer that appends to `bytes`.
    package init(_ bytes: consuming [UInt8] = []) { self.bytes = bytes }

    /// Gives the text away.
    package consuming func finish() -> [UInt8] { bytes }

    /// Forgets the text, for the next one.
    package mutating func removeAll(keepingCapacity: Bool) {
        bytes.removeAll(keepingCapacity: keepingCapacity)
        needsComma = false
    }

    // MARK: Structure

    /// Opens an object.
    package mutating func beginObject() { open(UInt8(ascii: "{")) }
    /// Closes it.
    package mutating func endObject() { close(UInt8(ascii: "}")) }
    /// Opens an array.
    package mutating func beginArray() { open(UInt8(ascii: "[")) }
    /// Closes it.
    package mutating func endArray() { close(UInt8(ascii: "]")) }

    /// A member's name; its value comes next.
    package mutating func key(_ name: String) {
        separate()
        quote(name.utf8.span)
        bytes.append(.colon)
        needsComma = false
    }

    /// Ends a line of NDJSON.
    package mutating func lineFeed() {
        bytes.append(.lineFeed)
        needsComma = false
    }

    // MARK: Values

    /// A string.
    package mutating func string(_ text: String) {
        separate()
        quote(text.utf8.span)
    }

    /// A string out of bytes that claim to be UTF-8; what is not becomes U+FFFD.
    package mutating func string(utf8 text: Span<UInt8>) {
        separate()
        do throws(UTF8.ValidationError) {
            _ = try UTF8Span(validating: text)
            quote(text)
        } catch {
            quote(String(decoding: text.indices.map { text[$0] }, as: UTF8.self).utf8.span)
        }
    }

    /// An integer.
    package mutating func int(_ value: Int) {
        separate()
        bytes.appendDecimal(value)
    }

    /// An integer.
    package mutating func int(_ value: Int64) { int(Int(value)) }

    /// The shortest text that reads back as the same number; JSON has no other word than null for what is not
    /// finite.
    package mutating func double(_ value: Double) {
        guard value.isFinite else { return null() }
        separate()
        let text = value.description
        bytes.append(contentsOf: (text.hasSuffix(".0") ? text.dropLast(2) : text[...]).utf8)
    }

    /// `true` or `false`.
    package mutating func bool(_ value: Bool) {
        separate()
        bytes.append(contentsOf: (value ? "true" : "false").utf8)
    }

    /// `null`.
    package mutating func null() {
        separate()
        bytes.append(contentsOf: "null".utf8)
    }

    /// One whole value that is JSON already.
    package mutating func raw(_ json: Span<UInt8>) {
        separate()
        bytes.append(copying: json)
    }

    /// One whole value that is JSON already.
    package mutating func raw(_ json: [UInt8]) { raw(json.span) }

    // MARK: Members

    /// A name and its value.
    package mutating func member(_ name: String, _ value: String) {
        key(name)
        string(value)
    }

    /// A name and its value, `null` for nil.
    package mutating func member(_ name: String, _ value: String?) {
        key(name)
        if let value { string(value) } else { null() }
    }

    /// A name and its value.
    package mutating func member(_ name: String, _ value: Int) {
        key(name)
        int(value)
    }

    /// A name and its value.
    package mutating func member(_ name: String, _ value: Int64) {
        key(name)
        int(value)
    }

    /// A name and its value.
    package mutating func member(_ name: String, _ value: Double) {
        key(name)
        double(value)
    }

    /// A name and its value.
    package mutating func member(_ name: String, _ value: Bool) {
        key(name)
        bool(value)
    }

    // MARK: Parts

    private mutating func open(_ bracket: UInt8) {
        separate()
        bytes.append(bracket)
        needsComma = false
    }

    private mutating func close(_ bracket: UInt8) {
        bytes.append(bracket)
        needsComma = true
    }

    private mutating func separate() {
        if needsComma { bytes.append(.comma) }
        needsComma = true
    }

    /// Copies runs between the few bytes that need an escape (RFC 8259 7).
    private mutating func quote(_ text: Span<UInt8>) {
        bytes.append(.quote)
        var start = 0
        var index = 0
        while index < text.count {
            let byte = text[index]
            if byte >= 0x20, byte != .quote, byte != .backslash {
                index += 1
                continue
            }
            bytes.append(copying: text.extracting(start..<index))
            escape(byte)
            index += 1
            start = index
        }
        bytes.append(copying: text.extracting(start..<index))
        bytes.append(.quote)
    }

    private mutating func escape(_ byte: UInt8) {
        bytes.append(.backslash)
        switch byte {
        case .quote, .backslash: bytes.append(byte)
        case .lineFeed: bytes.append(UInt8(ascii: "n"))
        case .carriageReturn: bytes.append(UInt8(ascii: "r"))
        case .tab: bytes.append(UInt8(ascii: "t"))
        default:
            bytes.append(contentsOf: "u00".utf8)
            bytes.append(Self.hexDigit(Int(byte >> 4)))
            bytes.append(Self.hexDigit(Int(byte & 15)))
        }
    }

    static func hexDigit(_ value: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: value) + (value < 10 ? 0x30 : 0x57)
    }
}
