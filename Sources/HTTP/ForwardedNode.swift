/// Who a proxy says it has the request from.
package enum ForwardedNode: Hashable, Sendable {
    case address(IPAddress)
    /// The proxy does not know or does not tell: `unknown`, a made-up name, no `for` at all.
    case hidden

    /// The nodes of a `Forwarded` field, the first proxy's first (RFC 7239 4); `nil` when it breaks the
    /// grammar.
    ///
    /// Then nothing in it counts: a client may have left a quote open for a proxy's own words to fall into.
    package static func forwarded(_ field: Span<UInt8>) -> [ForwardedNode]? {
        var nodes: [ForwardedNode] = []
        var elements = ListCursor(0..<field.count)
        while let range = elements.next(in: field) {
            // A list may have empty elements (RFC 9110 5.6.1.2).
            if range.isEmpty { continue }
            guard let node = element(field, range) else { return nil }
            nodes.append(node)
        }
        return nodes
    }

    /// The nodes of an `X-Forwarded-For` field: addresses, some proxies add a port.
    package static func forwardedFor(_ field: Span<UInt8>) -> [ForwardedNode] {
        var nodes: [ForwardedNode] = []
        var elements = ListCursor(0..<field.count, hasQuotes: false)
        while let range = elements.next(in: field) {
            if range.isEmpty { continue }
            let text = field.extracting(range)
            nodes.append(IPAddress(text).map { .address($0) } ?? node(text) ?? .hidden)
        }
        return nodes
    }

    /// One `forwarded-element`: pairs of which each name comes once.
    private static func element(_ field: Span<UInt8>, _ range: Range<Int>) -> ForwardedNode? {
        var found: ForwardedNode?
        var pairs = ListCursor(range)
        while let pair = pairs.next(in: field, separator: .semicolon) {
            if pair.isEmpty { continue }
            guard let equals = pair.first(where: { field[$0] == UInt8(ascii: "=") }),
                field.isToken(pair.lowerBound..<equals),
                let value = value(field, equals + 1..<pair.upperBound)
            else { return nil }
            guard field.matches(pair.lowerBound..<equals, lowercased: "for") else { continue }
            guard found == nil, let node = node(value.span) else { return nil }
            found = node
        }
        return found ?? .hidden
    }

    /// A token, or what is in a quoted string (RFC 9110 5.6.4).
    private static func value(_ field: Span<UInt8>, _ range: Range<Int>) -> [UInt8]? {
        var value: [UInt8] = []
        if field.isToken(range) {
            value.append(copying: field.extracting(range))
            return value
        }
        guard range.count >= 2, field[range.lowerBound] == .quote else { return nil }
        var index = range.lowerBound + 1
        while index < range.upperBound - 1 {
            if field[index] == .quote { return nil }
            if field[index] == .backslash { index += 1 }
            // A quote that is escaped does not end the string.
            guard index < range.upperBound - 1 else { return nil }
            value.append(field[index])
            index += 1
        }
        return field[index] == .quote ? value : nil
    }

    /// A `node` (RFC 7239 6): an IPv4 address, an IPv6 one in brackets, `unknown` or `_name`, and perhaps a
    /// port.
    private static func node(_ text: Span<UInt8>) -> ForwardedNode? {
        guard !text.isEmpty else { return nil }
        var name = text
        if text[0] == UInt8(ascii: "[") {
            guard let end = text.indices.first(where: { text[$0] == UInt8(ascii: "]") }),
                isPort(text.extracting((end + 1)...)),
                case .v6(let high, let low)? = IPAddress(text.extracting(1..<end))
            else { return nil }
            return .address(.v6(high: high, low: low))
        }
        if let colon = text.indices.first(where: { text[$0] == .colon }) {
            guard isPort(text.extracting(colon...)) else { return nil }
            name = text.extracting(..<colon)
        }
        if name.matches(lowercased: "unknown") { return .hidden }
        if name.count > 1, name[0] == UInt8(ascii: "_"), isObfuscated(name) { return .hidden }
        guard case .v4(let address)? = IPAddress(name) else { return nil }
        return .address(.v4(address))
    }

    /// Nothing, or a colon and a number or `_name`.
    private static func isPort(_ text: Span<UInt8>) -> Bool {
        if text.isEmpty { return true }
        guard text[0] == .colon, text.count > 1 else { return false }
        let port = text.extracting(1...)
        if port[0] == UInt8(ascii: "_") { return port.count > 1 && isObfuscated(port) }
        return port.count <= 5 && port.indices.allSatisfy { 0x30...0x39 ~= port[$0] }
    }

    private static func isObfuscated(_ text: Span<UInt8>) -> Bool {
        text.indices.allSatisfy {
            switch text[$0] {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "-"):
                true
            default: false
            }
        }
    }
}
