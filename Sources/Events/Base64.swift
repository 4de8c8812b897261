/// Base64 of RFC 4648, section 4: standard alphabet, padded.
package enum Base64 {
    private static let alphabet = [UInt8](
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8
    )

    /// Appends the characters for `bytes`.
    package static func append(_ bytes: Span<UInt8>, to output: inout [UInt8]) {
        var index = 0
        while index < bytes.count {
            let left = bytes.count - index
            let group =
                UInt32(bytes[index]) << 16 | UInt32(bytes.byte(at: index + 1)) << 8
                | UInt32(bytes.byte(at: index + 2))
            output.append(alphabet[Int(group >> 18)])
            output.append(alphabet[Int(group >> 12 & 63)])
            output.append(left > 1 ? alphabet[Int(group >> 6 & 63)] : UInt8(ascii: "="))
            output.append(left > 2 ? alphabet[Int(group & 63)] : UInt8(ascii: "="))
            index += 3
        }
    }

    /// The bytes that `text` stands for; nil when it is broken, unpadded or has white space in it.
    package static func decode(_ text: Span<UInt8>) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        var output: [UInt8] = []
        output.reserveCapacity(text.count / 4 * 3)
        var index = 0
        while index < text.count {
            guard let first = value(text[index]), let second = value(text[index + 1]) else { return nil }
            output.append(first << 2 | second >> 4)
            let isLast = index + 4 == text.count
            let isPadded = isLast && text[index + 3] == UInt8(ascii: "=")
            if isPadded, text[index + 2] == UInt8(ascii: "=") { return output }
            guard let third = value(text[index + 2]) else { return nil }
            output.append(second << 4 | third >> 2)
            if isPadded { return output }
            guard let fourth = value(text[index + 3]) else { return nil }
            output.append(third << 6 | fourth)
            index += 4
        }
        return output
    }

    private static func value(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): character &- UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): character &- UInt8(ascii: "a") &+ 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character &- UInt8(ascii: "0") &+ 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
