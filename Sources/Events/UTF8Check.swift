/// Well-formed UTF-8 after RFC 3629, section 4: no overlong form, no surrogate, nothing above U+10FFFF.
package enum UTF8Check {
    /// The offset of the first byte that does not belong to a character, or nil.
    package static func firstInvalid(in text: Span<UInt8>) -> Int? {
        var index = 0
        while index < text.count {
            if index &+ 8 <= text.count, text.word(at: index) & 0x8080_8080_8080_8080 == 0 {
                index &+= 8
            } else if text[index] < 0x80 {
                index &+= 1
            } else {
                let length = multibyteLength(in: text, at: index)
                if length == 0 { return index }
                index &+= length
            }
        }
        return nil
    }

    /// The length of the character of two to four bytes at `index`; 0 when there is none.
    @inline(__always) static func multibyteLength(in text: Span<UInt8>, at index: Int) -> Int {
        let first = text[index]
        let second = text.byte(at: index &+ 1)
        switch first {
        case 0xC2...0xDF:
            return isContinuation(second) ? 2 : 0
        case 0xE0...0xEF:
            let isSecond =
                switch first {
                case 0xE0: (0xA0...0xBF).contains(second)
                case 0xED: (0x80...0x9F).contains(second)
                default: isContinuation(second)
                }
            return isSecond && isContinuation(text.byte(at: index &+ 2)) ? 3 : 0
        case 0xF0...0xF4:
            let isSecond =
                switch first {
                case 0xF0: (0x90...0xBF).contains(second)
                case 0xF4: (0x80...0x8F).contains(second)
                default: isContinuation(second)
                }
            let isRest =
                isContinuation(text.byte(at: index &+ 2)) && isContinuation(text.byte(at: index &+ 3))
            return isSecond && isRest ? 4 : 0
        default:
            return 0
        }
    }

    @inline(__always) private static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }
}
