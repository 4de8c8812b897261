/// Between UTF-8 bytes and what stands between the quotes of a JSON string.
package enum JSONString {
    /// Appends `text`, which must be UTF-8, as a JSON string with its quotes.
    package static func append(_ text: Span<UInt8>, to output: inout [UInt8]) {
        output.append(.quote)
        var copied = 0
        for index in text.indices {
            let byte = text[index]
            if byte >= 0x20, byte != .quote, byte != .backslash { continue }
            output.append(copying: text.extracting(copied..<index))
            copied = index &+ 1
            appendEscape(byte, to: &output)
        }
        output.append(copying: text.extracting(copied..<text.count))
        output.append(.quote)
    }

    /// Appends the characters that the string between the quotes at either side of `range` stands for.
    ///
    /// Its syntax has been checked; a lone surrogate becomes U+FFFD.
    static func appendUnescaped(_ text: Span<UInt8>, in range: Range<Int>, to output: inout [UInt8]) {
        var index = range.lowerBound
        while index < range.upperBound {
            let byte = text[index]
            guard byte == .backslash else {
                output.append(byte)
                index &+= 1
                continue
            }
            let letter = text.byte(at: index &+ 1)
            guard letter == UInt8(ascii: "u"), let unit = escapedUnit(text, at: index) else {
                output.append(unescaped(letter))
                index &+= 2
                continue
            }
            index &+= 6
            var value = unit
            if 0xD800..<0xDC00 ~= unit, let low = escapedUnit(text, at: index), 0xDC00..<0xE000 ~= low {
                value = 0x10000 &+ (unit &- 0xD800) &<< 10 &+ (low &- 0xDC00)
                index &+= 6
            }
            output.append(contentsOf: String(Unicode.Scalar(value) ?? "\u{FFFD}").utf8)
        }
    }

    /// The UTF-16 unit of the `\uXXXX` at `index`, or nil when there is none.
    static func escapedUnit(_ text: Span<UInt8>, at index: Int) -> UInt32? {
        guard text.byte(at: index) == .backslash, text.byte(at: index &+ 1) == UInt8(ascii: "u") else {
            return nil
        }
        var unit: UInt32 = 0
        for position in index &+ 2..<index &+ 6 {
            guard let digit = text.byte(at: position).hexValue else { return nil }
            unit = unit &<< 4 | UInt32(digit)
        }
        return unit
    }

    private static func unescaped(_ letter: UInt8) -> UInt8 {
        switch letter {
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0C
        case UInt8(ascii: "n"): .lineFeed
        case UInt8(ascii: "r"): .carriageReturn
        case UInt8(ascii: "t"): .tab
        default: letter
        }
    }

    private static func appendEscape(_ byte: UInt8, to output: inout [UInt8]) {
        output.append(.backslash)
        switch byte {
        case .quote, .backslash: output.append(byte)
        case .lineFeed: output.append(UInt8(ascii: "n"))
        case .carriageReturn: output.append(UInt8(ascii: "r"))
        case .tab: output.append(UInt8(ascii: "t"))
        default:
            output.append(contentsOf: [UInt8(ascii: "u"), UInt8(ascii: "0"), UInt8(ascii: "0")])
            output.append(UInt8(ascii: "0") &+ byte >> 4)
            let low = byte & 15
            output.append(low < 10 ? UInt8(ascii: "0") &+ low : UInt8(ascii: "a") &+ low &- 10)
        }
    }
}
