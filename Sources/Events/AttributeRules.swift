/// The MUSTs of CloudEvents 1.0.2 on the text of attributes, which hold in strict mode only.
enum AttributeRules {
    /// An attribute's name: lower-case letters and digits.
    static func isName(_ name: Span<UInt8>) -> Bool {
        for index in name.indices {
            let byte = name[index]
            guard byte.isDigit || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte else { return false }
        }
        return !name.isEmpty
    }

    /// The type String: UTF-8 without control characters and noncharacters.
    static func isString(_ text: Span<UInt8>) -> Bool {
        var index = 0
        while index < text.count {
            let byte = text[index]
            let second = text.byte(at: index + 1)
            let third = text.byte(at: index + 2)
            if byte < 0x20 || byte == 0x7F { return false }
            // U+0080...U+009F
            if byte == 0xC2, second < 0xA0 { return false }
            // U+FDD0...U+FDEF, U+FFFE and U+FFFF
            if byte == 0xEF, second == 0xB7, 0x90...0xAF ~= third { return false }
            if byte == 0xEF, second == 0xBF, third >= 0xBE { return false }
            // The last two characters of every other plane.
            if byte >= 0xF0, second & 0x0F == 0x0F, third == 0xBF, text.byte(at: index + 3) >= 0xBE {
                return false
            }
            index += byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
        }
        return true
    }

    /// The characters of a URI-reference (RFC 3986), percent signs followed by two digits.
    static func isURIReference(_ text: Span<UInt8>) -> Bool {
        var fragments = 0
        for index in text.indices {
            switch text[index] {
            case UInt8(ascii: "%"):
                guard text.byte(at: index + 1).hexValue != nil, text.byte(at: index + 2).hexValue != nil
                else {
                    return false
                }
            case UInt8(ascii: "#"):
                fragments += 1
            case .quote, .backslash, .braceOpen, .braceClose, UInt8(ascii: "<"), UInt8(ascii: ">"),
                UInt8(ascii: "^"), UInt8(ascii: "`"), UInt8(ascii: "|"), 0...0x20, 0x7F...0xFF:
                return false
            default:
                break
            }
        }
        return fragments <= 1
    }

    /// A URI with a scheme.
    static func isURI(_ text: Span<UInt8>) -> Bool {
        for index in text.indices {
            let byte = text[index]
            if byte == .colon { return index > 0 && isURIReference(text) }
            let isLetter = UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
            let isLater =
                byte.isDigit || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-")
                || byte == UInt8(ascii: ".")
            guard isLetter || index > 0 && isLater else { return false }
        }
        return false
    }

    /// A media type of RFC 2046: two tokens, then parameters whose text is not looked into.
    static func isMediaType(_ text: Span<UInt8>) -> Bool {
        var slashes = 0
        var length = 0
        for index in text.indices {
            switch text[index] {
            case UInt8(ascii: "/"):
                if length == 0 { return false }
                slashes += 1
                length = 0
            case UInt8(ascii: ";"), .space:
                return slashes == 1 && length > 0
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "!"),
                UInt8(ascii: "#")...UInt8(ascii: "'"),
                UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "^")...UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
                length += 1
            default:
                return false
            }
        }
        return slashes == 1 && length > 0
    }

    /// The type Integer: a whole number of 32 bits, written without fraction and exponent.
    static func isInteger(_ text: Span<UInt8>) -> Bool {
        Int32(String(decoding: [UInt8](copying: text), as: UTF8.self)) != nil
    }
}
