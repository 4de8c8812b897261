/// A media type with its parameters (RFC 9110 8.3.1), from a `Content-Type` field.
package struct MediaType: Equatable, Sendable {
    /// One parameter; names are in lower case, quotes are taken off values.
    package struct Parameter: Equatable, Sendable {
        package let name: String
        package let value: String
    }

    /// `type/subtype` in lower case.
    package let essence: String
    package let parameters: [Parameter]

    /// Parses a field value; `nil` when it is not a media type.
    package init?(_ bytes: Span<UInt8>) {
        self.init(bytes, 0..<bytes.count)
    }

    init?(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        guard let range = Self.essence(bytes, range) else { return nil }
        self.init(bytes, essence: range, end: bytes.count)
    }

    private init?(_ bytes: Span<UInt8>, essence: Range<Int>, end: Int) {
        self.essence = Self.lowercased(bytes, essence)
        var parameters: [Parameter] = []
        var cursor = ListCursor(essence.upperBound..<end)
        // What is before the first semicolon is empty: the essence ends there.
        _ = cursor.next(in: bytes, separator: .semicolon)
        while let range = cursor.next(in: bytes, separator: .semicolon) {
            // RFC 9110 5.6.6 allows empty parameters.
            if range.isEmpty { continue }
            guard let parameter = Self.parameter(bytes, range) else { return nil }
            parameters.append(parameter)
        }
        self.parameters = parameters
    }

    /// The value of that parameter.
    package func parameter(_ name: String) -> String? { parameters.first { $0.name == name }?.value }

    /// Where the essence is in a field value, for callers that compare bytes on a hot path.
    package static func essence(_ bytes: Span<UInt8>) -> Range<Int>? { essence(bytes, 0..<bytes.count) }

    private static func essence(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Range<Int>? {
        let range = bytes.trimmed(range)
        let slash = bytes.skip(ByteClass.token, in: range)
        guard slash > range.lowerBound, slash < range.upperBound, bytes[slash] == .slash else { return nil }
        let end = bytes.skip(ByteClass.token, in: slash + 1..<range.upperBound)
        guard end > slash + 1 else { return nil }
        let rest = bytes.trimmed(end..<range.upperBound)
        guard rest.isEmpty || bytes[rest.lowerBound] == .semicolon else { return nil }
        return range.lowerBound..<end
    }

    static func parameter(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Parameter? {
        let equals = bytes.skip(ByteClass.token, in: range)
        guard equals > range.lowerBound, equals < range.upperBound, bytes[equals] == UInt8(ascii: "=") else {
            return nil
        }
        let value = equals + 1..<range.upperBound
        let name = lowercased(bytes, range.lowerBound..<equals)
        if bytes.isToken(value) { return Parameter(name: name, value: text(bytes, value)) }
        return unquoted(bytes, value).map { Parameter(name: name, value: $0) }
    }

    /// A quoted-string (RFC 9110 5.6.4) without its quotes and backslashes.
    private static func unquoted(_ bytes: Span<UInt8>, _ range: Range<Int>) -> String? {
        guard range.count >= 2, bytes[range.lowerBound] == .quote else { return nil }
        var characters: [UInt8] = []
        var index = range.lowerBound + 1
        while index < range.upperBound - 1 {
            if bytes[index] == .quote { return nil }
            if bytes[index] == .backslash { index += 1 }
            // A backslash right before the last quote leaves the string open.
            guard index < range.upperBound - 1 else { return nil }
            characters.append(bytes[index])
            index += 1
        }
        guard bytes[index] == .quote else { return nil }
        return String(decoding: characters, as: UTF8.self)
    }

    static func lowercased(_ bytes: Span<UInt8>, _ range: Range<Int>) -> String {
        String(decoding: range.map { bytes[$0].lowercased }, as: UTF8.self)
    }

    private static func text(_ bytes: Span<UInt8>, _ range: Range<Int>) -> String {
        String(decoding: range.map { bytes[$0] }, as: UTF8.self)
    }
}
