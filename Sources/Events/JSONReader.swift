/// Why a text is not a JSON object within the bounds.
package enum JSONReadError: Error, Equatable, Sendable {
    case unexpectedByte(offset: Int)
    case endOfText
    case tooDeep(limit: Int)
    case invalidString(offset: Int)
    case invalidNumber(offset: Int)
    case notAnObject
    case notAnArray
    /// A member that the message needs is absent or of another type.
    case missing(String)

    package var detail: String {
        switch self {
        case .unexpectedByte(let offset): "unexpected byte in the JSON at offset \(offset)"
        case .endOfText: "the JSON ends too early"
        case .tooDeep(let limit): "the JSON is nested deeper than \(limit)"
        case .invalidString(let offset): "invalid string in the JSON at offset \(offset)"
        case .invalidNumber(let offset): "invalid number in the JSON at offset \(offset)"
        case .notAnObject: "the JSON is not an object"
        case .notAnArray: "the JSON is not an array"
        case .missing(let name): "there is no valid member '\(name)'"
        }
    }
}

/// Reads a small JSON text (RFC 8259) into a tree of values: frames' headers, administrators' requests.
///
/// Not for events: a tree costs more than all else that happens to one. Its callers bound the text to some
/// kilobytes. Of two members with one name the last counts, as in Python.
package struct JSONReader {
    package static let depthMax = 32

    private let text: [UInt8]
    private var offset = 0
    private var depth = 0

    private init(_ text: [UInt8]) {
        self.text = text
    }

    /// Returns the members of the object that `text` is; an empty text counts as an empty object.
    package static func object(_ text: [UInt8]) throws(JSONReadError) -> [String: JSONValue] {
        if text.isEmpty { return [:] }
        var reader = JSONReader(text)
        let value = try reader.value()
        reader.skipSpace()
        if reader.offset != text.count { throw .unexpectedByte(offset: reader.offset) }
        guard let object = value.object else { throw .notAnObject }
        return object
    }

    /// Returns the elements of the array that `text` is.
    package static func array(_ text: [UInt8]) throws(JSONReadError) -> [JSONValue] {
        var reader = JSONReader(text)
        let value = try reader.value()
        reader.skipSpace()
        if reader.offset != text.count { throw .unexpectedByte(offset: reader.offset) }
        guard case .array(let elements) = value else { throw .notAnArray }
        return elements
    }

    /// Returns the string whose escaped text, without its quotes, is `text`; `nil` if it is none.
    package static func unescaped(_ text: [UInt8]) -> String? {
        let quote = UInt8(ascii: "\"")
        var reader = JSONReader([quote] + text + [quote])
        // The error's offset means nothing to callers that know only the unquoted text.
        guard let string = try? reader.string(), reader.offset == reader.text.count else { return nil }
        return string
    }

    private mutating func value() throws(JSONReadError) -> JSONValue {
        skipSpace()
        guard let first = peek else { throw .endOfText }
        switch first {
        case UInt8(ascii: "{"): return try nested { reader throws(JSONReadError) in try reader.members() }
        case UInt8(ascii: "["): return try nested { reader throws(JSONReadError) in try reader.elements() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw .unexpectedByte(offset: offset)
        }
    }

    private mutating func nested(
        _ body: (inout JSONReader) throws(JSONReadError) -> JSONValue
    ) throws(JSONReadError) -> JSONValue {
        if depth == Self.depthMax { throw .tooDeep(limit: Self.depthMax) }
        depth += 1
        offset += 1
        let value = try body(&self)
        depth -= 1
        return value
    }

    private mutating func members() throws(JSONReadError) -> JSONValue {
        var members: [String: JSONValue] = [:]
        skipSpace()
        if accept(UInt8(ascii: "}")) { return .object(members) }
        while true {
            skipSpace()
            let name = try string()
            skipSpace()
            try expect(UInt8(ascii: ":"))
            members[name] = try value()
            skipSpace()
            if accept(UInt8(ascii: "}")) { return .object(members) }
            try expect(UInt8(ascii: ","))
        }
    }

    private mutating func elements() throws(JSONReadError) -> JSONValue {
        var values: [JSONValue] = []
        skipSpace()
        if accept(UInt8(ascii: "]")) { return .array(values) }
        while true {
            values.append(try value())
            skipSpace()
            if accept(UInt8(ascii: "]")) { return .array(values) }
            try expect(UInt8(ascii: ","))
        }
    }

    private mutating func word(_ word: String, _ value: JSONValue) throws(JSONReadError) -> JSONValue {
        for byte in word.utf8 { try expect(byte) }
        return value
    }

    private mutating func number() throws(JSONReadError) -> JSONValue {
        let start = offset
        _ = accept(UInt8(ascii: "-"))
        if !accept(UInt8(ascii: "0")), skipDigits() == 0 { throw .invalidNumber(offset: start) }
        var isInteger = true
        if accept(UInt8(ascii: ".")) {
            isInteger = false
            if skipDigits() == 0 { throw .invalidNumber(offset: start) }
        }
        if accept(UInt8(ascii: "e")) || accept(UInt8(ascii: "E")) {
            isInteger = false
            if !accept(UInt8(ascii: "+")) { _ = accept(UInt8(ascii: "-")) }
            if skipDigits() == 0 { throw .invalidNumber(offset: start) }
        }
        let digits = String(decoding: text[start..<offset], as: UTF8.self)
        if isInteger, let integer = Int64(digits) { return .integer(integer) }
        guard let double = Double(digits), double.isFinite else { throw .invalidNumber(offset: start) }
        return .number(double)
    }

    private mutating func skipDigits() -> Int {
        let start = offset
        while let byte = peek, byte &- UInt8(ascii: "0") < 10 { offset += 1 }
        return offset - start
    }

    private mutating func string() throws(JSONReadError) -> String {
        let start = offset
        try expect(UInt8(ascii: "\""))
        var bytes: [UInt8] = []
        while let byte = peek {
            offset += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: bytes, as: UTF8.self) else {
                    throw .invalidString(offset: start)
                }
                return string
            case UInt8(ascii: "\\"): try appendEscape(to: &bytes)
            case 0..<0x20: throw .invalidString(offset: offset - 1)
            default: bytes.append(byte)
            }
        }
        throw .endOfText
    }

    private mutating func appendEscape(to bytes: inout [UInt8]) throws(JSONReadError) {
        guard let byte = peek else { throw .endOfText }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(byte)
        case UInt8(ascii: "b"): bytes.append(0x08)
        case UInt8(ascii: "f"): bytes.append(0x0c)
        case UInt8(ascii: "n"): bytes.append(0x0a)
        case UInt8(ascii: "r"): bytes.append(0x0d)
        case UInt8(ascii: "t"): bytes.append(0x09)
        case UInt8(ascii: "u"): bytes.append(contentsOf: Character(try scalar()).utf8)
        default: throw .invalidString(offset: offset - 1)
        }
    }

    /// Reads the digits after `\u`, and the second half of a surrogate pair.
    private mutating func scalar() throws(JSONReadError) -> Unicode.Scalar {
        let start = offset
        var code = try fourDigits()
        if code & 0xfc00 == 0xd800, accept(UInt8(ascii: "\\")), accept(UInt8(ascii: "u")) {
            let low = try fourDigits()
            if low & 0xfc00 != 0xdc00 { throw .invalidString(offset: start) }
            code = 0x1_0000 + (code & 0x3ff) << 10 + (low & 0x3ff)
        }
        guard let scalar = Unicode.Scalar(code) else { throw .invalidString(offset: start) }
        return scalar
    }

    private mutating func fourDigits() throws(JSONReadError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw .invalidString(offset: offset)
            }
            code = code << 4 | UInt32(digit)
            offset += 1
        }
        return code
    }

    private var peek: UInt8? { offset < text.count ? text[offset] : nil }

    private mutating func accept(_ byte: UInt8) -> Bool {
        if peek != byte { return false }
        offset += 1
        return true
    }

    private mutating func expect(_ byte: UInt8) throws(JSONReadError) {
        if accept(byte) { return }
        throw offset < text.count ? .unexpectedByte(offset: offset) : .endOfText
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { offset += 1 }
    }
}
