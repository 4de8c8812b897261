/// Hides passwords in texts that may hold a database's URI or connection string, and keys in any text.
///
/// In doubt it hides too much: what cannot be told from a password is taken for one.
enum SecretMask {
    static let replacement = "***"
    private static let schemeEnd = Array("://".utf8)
    private static let password = Array("password".utf8)
    private static let keyPrefix = Array("mr_".utf8)
    /// Fewer letters and digits behind the prefix are no key, which has 43.
    private static let keyBytesMin = 20

    /// A connection string for logs and people.
    static func mask(conninfo: String) -> String { mask(conninfo) }

    /// Any text: what follows `password=` (or a longer name that ends so), the password of
    /// `scheme://user:…@host`, and what has the form of a key, wherever somebody has put it.
    static func mask(_ text: String) -> String {
        let bytes = Array(text.utf8)
        guard mayHoldSecret(bytes) else { return text }
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            if let secret = userinfoPassword(bytes, at: index) ?? assignedPassword(bytes, at: index)
                ?? key(bytes, at: index)
            {
                output += bytes[index..<secret.lowerBound]
                output += replacement.utf8
                index = secret.upperBound
            } else {
                output.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// Most lines of a log hold none of them, and pay for one look only.
    private static func mayHoldSecret(_ bytes: [UInt8]) -> Bool {
        bytes.indices.contains {
            matches(bytes, at: $0, schemeEnd) || matches(bytes, at: $0, password)
                || matches(bytes, at: $0, keyPrefix)
        }
    }

    /// The random part of a key that begins at `index`.
    private static func key(_ bytes: [UInt8], at index: Int) -> Range<Int>? {
        guard matches(bytes, at: index, keyPrefix) else { return nil }
        let start = index + keyPrefix.count
        let end = bytes[start...].firstIndex { !isLetterOrDigit($0) } ?? bytes.count
        return end - start < keyBytesMin ? nil : start..<end
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        0x30...0x39 ~= byte || 0x61...0x7A ~= byte | 0x20
    }

    /// The password behind `://` at `index`: from the first colon to the last `@` before a blank.
    ///
    /// RFC 3986 would end it at `/`, `?` or `#`, but a password that should have been escaped may hold these.
    private static func userinfoPassword(_ bytes: [UInt8], at index: Int) -> Range<Int>? {
        guard matches(bytes, at: index, schemeEnd) else { return nil }
        let start = index + 3
        let end = bytes[start...].firstIndex(where: isBlank) ?? bytes.count
        guard let at = bytes[start..<end].lastIndex(of: UInt8(ascii: "@")),
            let colon = bytes[start..<at].firstIndex(of: UInt8(ascii: ":"))
        else { return nil }
        return colon + 1..<at
    }

    /// The value behind `password`, blanks and `=` at `index`.
    private static func assignedPassword(_ bytes: [UInt8], at index: Int) -> Range<Int>? {
        guard matches(bytes, at: index, password) else { return nil }
        var start = skipBlanks(bytes, from: index + 8)
        guard start < bytes.count, bytes[start] == UInt8(ascii: "=") else { return nil }
        start = skipBlanks(bytes, from: start + 1)
        return start..<valueEnd(bytes, from: start, isQuery: isInQuery(bytes, before: index))
    }

    /// libpq's rules: quoted until the next `'`, else until a blank; a backslash takes the next byte with it.
    private static func valueEnd(_ bytes: [UInt8], from start: Int, isQuery: Bool) -> Int {
        let isQuoted = start < bytes.count && bytes[start] == UInt8(ascii: "'")
        var index = isQuoted ? start + 1 : start
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\\") {
                index += 2
                continue
            }
            if isQuoted, byte == UInt8(ascii: "'") { return index + 1 }
            if !isQuoted, isBlank(byte) || isQuery && byte == UInt8(ascii: "&") { return index }
            index += 1
        }
        return bytes.count
    }

    /// Whether the name that ends at `index` follows `?` or `&`, as in a URI.
    private static func isInQuery(_ bytes: [UInt8], before index: Int) -> Bool {
        let delimiter = bytes[..<index].last {
            !($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A) && $0 != UInt8(ascii: "_")
        }
        return delimiter == UInt8(ascii: "?") || delimiter == UInt8(ascii: "&")
    }

    private static func skipBlanks(_ bytes: [UInt8], from start: Int) -> Int {
        bytes[min(start, bytes.count)...].firstIndex { !isBlank($0) } ?? bytes.count
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || 0x09...0x0D ~= byte }

    private static func matches(_ bytes: [UInt8], at index: Int, _ lowercased: [UInt8]) -> Bool {
        guard index + lowercased.count <= bytes.count else { return false }
        return lowercased.indices.allSatisfy { offset in
            let byte = bytes[index + offset]
            return (0x41...0x5A ~= byte ? byte | 0x20 : byte) == lowercased[offset]
        }
    }
}
