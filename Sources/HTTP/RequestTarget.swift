extension RequestHead {
    /// Decides the form of the target (RFC 9112 3.2) and narrows `path` to the path.
    mutating func resolveTarget(_ input: Span<UInt8>) throws(RequestError) {
        if method == .connect {
            // Authority-form, and it needs a port.
            guard query == nil, HostSyntax.isValid(input, target, needsPort: true) else {
                throw .malformedTarget(offset: target.lowerBound)
            }
            authority = target
            path = target.upperBound..<target.upperBound
            return
        }
        if input[target.lowerBound] == .slash { return }
        if target.count == 1, input[target.lowerBound] == UInt8(ascii: "*") {
            guard method == .options else { throw .malformedTarget(offset: target.lowerBound) }
            return
        }
        try resolveAbsolute(input)
    }

    /// `http://authority/path?query`: a server accepts it, whoever sends it (RFC 9112 3.2.2).
    private mutating func resolveAbsolute(_ input: Span<UInt8>) throws(RequestError) {
        let start = path.lowerBound
        let scheme: Int? =
            if path.count >= 7, input.matches(start..<start + 7, lowercased: "http://") {
                7
            } else if path.count >= 8, input.matches(start..<start + 8, lowercased: "https://") {
                8
            } else {
                nil
            }
        guard let scheme else { throw .malformedTarget(offset: start) }
        var end = start + scheme
        while end < path.upperBound, input[end] != .slash { end += 1 }
        let host = start + scheme..<end
        // RFC 9110 4.2.1 and 4.2.4: an empty host is invalid, and a user name in it is an attack.
        guard HostSyntax.isValid(input, host, needsPort: false) else {
            throw .malformedTarget(offset: host.lowerBound)
        }
        authority = host
        path = end..<path.upperBound
    }
}

/// uri-host [":" port] (RFC 9110 7.2, RFC 3986 3.2.2).
enum HostSyntax {
    /// Whether `range` is a host that is not empty, with a port if `needsPort`.
    static func isValid(_ bytes: Span<UInt8>, _ range: Range<Int>, needsPort: Bool) -> Bool {
        guard !range.isEmpty else { return false }
        let isLiteral = bytes[range.lowerBound] == UInt8(ascii: "[")
        guard let end = isLiteral ? endOfLiteral(bytes, range) : endOfName(bytes, range) else { return false }
        if end == range.upperBound { return !needsPort }
        guard bytes[end] == .colon else { return false }
        let port = end + 1..<range.upperBound
        if port.isEmpty { return !needsPort }
        for index in port where bytes[index].digitValue == nil { return false }
        return true
    }

    private static func endOfName(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Int? {
        var index = range.lowerBound
        while true {
            index = bytes.skip(ByteClass.host, in: index..<range.upperBound)
            guard index < range.upperBound, bytes[index] == .percent else { break }
            guard index + 2 < range.upperBound, bytes[index + 1].hexValue != nil,
                bytes[index + 2].hexValue != nil
            else { return nil }
            index += 3
        }
        return index > range.lowerBound ? index : nil
    }

    /// An IPv6 address in brackets: digits and colons are checked, not what they add up to.
    private static func endOfLiteral(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Int? {
        var colons = 0
        for index in range.dropFirst() {
            let byte = bytes[index]
            if byte == UInt8(ascii: "]") { return colons >= 2 ? index + 1 : nil }
            if byte == .colon { colons += 1 }
            guard byte == .colon || byte == UInt8(ascii: ".") || byte.hexValue != nil else { return nil }
        }
        return nil
    }
}
