import Events
import HTTP

/// CloudEvents in binary mode: attributes are header fields `ce-…`, the body is the data, and Content-Type
/// says what the data is (CloudEvents HTTP Protocol Binding 1.0.2, 3.1).
///
/// Such an event is written out as in structured mode and then decoded like any other in strict mode, so
/// every rule is in one place; the text is also what is kept of one that is refused.
enum BinaryMode {
    /// A body that is not the JSON that its type promises.
    struct MalformedData: Error, Equatable {
        /// Where it stops being JSON, from 0.
        let offset: Int
    }

    /// Names that come from Content-Type and the body, and so cannot be fields.
    private static let reserved = ["data", "data_base64", "datacontenttype"]

    /// Whether a request whose content type is not one of CloudEvents' own is in binary mode.
    static func isUsed(by head: RequestHead) -> Bool { head.value(named: "ce-specversion") != nil }

    /// The first field that has no place in binary mode; `nil` for none.
    static func misplacedField(in head: RequestHead) -> String? {
        reserved.first { head.value(named: "ce-\($0)") != nil }
    }

    /// The event's JSON text as structured mode would have it.
    ///
    /// - Throws: ``MalformedData`` for a JSON type whose body is not one JSON text.
    static func structured(
        _ head: RequestHead,
        _ body: [UInt8],
        scanner: JSONScanner
    ) throws(MalformedData) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(head.bytes.count + body.count * 4 / 3 + 64)
        text.append(UInt8(ascii: "{"))
        for position in 0..<head.fieldCount {
            let field = head.field(at: position)
            guard let name = attribute(head.bytes.span.extracting(field.name)) else { continue }
            append(name, unescaped(head.bytes.span.extracting(field.value)), to: &text)
        }
        if let type = head.value(.contentType) {
            append(Array("datacontenttype".utf8), Array(head.bytes[type]), to: &text)
        }
        if !body.isEmpty { try append(data: body, form(of: head), scanner, to: &text) }
        text.append(UInt8(ascii: "}"))
        return text
    }

    // MARK: Attributes

    private static let quote = UInt8(ascii: "\"")

    /// The attribute's name, in lower case as field names have no case; `nil` for another field.
    private static func attribute(_ name: Span<UInt8>) -> [UInt8]? {
        guard name.count > 3, name.extracting(0..<3).matches(lowercased: "ce-") else { return nil }
        return (3..<name.count).map { index in
            let byte = name[index]
            return UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte ? byte | 0x20 : byte
        }
    }

    /// A field value as the attribute's text (3.1.3.2): out of its quotes, if it has any, then with one round
    /// of percent-decoding; a percent sign without two digits stands for itself.
    private static func unescaped(_ value: Span<UInt8>) -> [UInt8] {
        let isQuoted = value.count >= 2 && value[0] == quote && value[value.count - 1] == quote
        var text: [UInt8] = []
        text.reserveCapacity(value.count)
        var index = isQuoted ? 1 : 0
        let end = isQuoted ? value.count - 1 : value.count
        while index < end {
            var byte = value[index]
            if isQuoted, byte == UInt8(ascii: "\\"), index + 1 < end {
                index += 1
                byte = value[index]
            } else if byte == UInt8(ascii: "%"), index + 2 < end, let high = value[index + 1].hexValue,
                let low = value[index + 2].hexValue
            {
                byte = UInt8(high << 4 | low)
                index += 2
            }
            text.append(byte)
            index += 1
        }
        return text
    }

    private static func append(_ name: [UInt8], _ value: [UInt8], to text: inout [UInt8]) {
        if text.count > 1 { text.append(UInt8(ascii: ",")) }
        JSONString.append(name.span, to: &text)
        text.append(UInt8(ascii: ":"))
        JSONString.append(value.span, to: &text)
    }

    // MARK: Data

    private enum Form {
        case json
        case text
        case bytes
    }

    /// JSON types are JSON, `text/*` in UTF-8 is a string, and whatever else there may be, bytes.
    private static func form(of head: RequestHead) -> Form {
        guard let range = head.value(.contentType), let type = MediaType(head.bytes.span.extracting(range))
        else { return .bytes }
        if type.essence == "application/json" || type.essence == "text/json"
            || type.essence.hasSuffix("+json")
        {
            return .json
        }
        guard type.essence.hasPrefix("text/") else { return .bytes }
        switch type.parameter("charset")?.lowercased() {
        case nil, "utf-8", "us-ascii": return .text
        default: return .bytes
        }
    }

    private static func append(
        data body: [UInt8],
        _ form: Form,
        _ scanner: JSONScanner,
        to text: inout [UInt8]
    ) throws(MalformedData) {
        if text.count > 1 { text.append(UInt8(ascii: ",")) }
        switch form {
        case .json:
            // One text and nothing behind it, or the body could add attributes.
            if case .malformed(let offset) = scanner.verdict(on: body.span) {
                throw MalformedData(offset: offset)
            }
            text.append(contentsOf: "\"data\":".utf8)
            text.append(contentsOf: body)
        case .text:
            text.append(contentsOf: "\"data\":".utf8)
            JSONString.append(body.span, to: &text)
        case .bytes:
            text.append(contentsOf: "\"data_base64\":\"".utf8)
            Base64.append(body.span, to: &text)
            text.append(UInt8(ascii: "\""))
        }
    }
}
