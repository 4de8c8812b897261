/// A slow reader of RFC 8259, written from its grammar and nothing else: the scanner is held against it.
///
/// Recursive, byte by byte, with strings handed to the standard library for their UTF-8.
struct ReferenceJSON {
    private let text: [UInt8]
    private var index = 0

    /// Whether the text is JSON by its grammar, every byte above 0x7F inside a string being let through.
    static func accepts(_ text: [UInt8]) -> Bool {
        var reader = ReferenceJSON(text: text)
        return reader.space() && reader.value() && reader.space() && reader.index == text.count
    }

    private init(text: [UInt8]) { self.text = text }

    private var byte: Character? {
        index < text.count ? Character(Unicode.Scalar(text[index])) : nil
    }

    private mutating func take(_ wanted: String) -> Bool {
        guard let byte, wanted.contains(byte) else { return false }
        index += 1
        return true
    }

    private mutating func space() -> Bool {
        while let scalar = byte?.unicodeScalars.first, " \n\r\t".unicodeScalars.contains(scalar) {
            index += 1
        }
        return true
    }

    private mutating func word(_ letters: String) -> Bool {
        for letter in letters where !take(String(letter)) { return false }
        return true
    }

    private mutating func value() -> Bool {
        switch byte {
        case "{": list("{", "}") { $0.string() && $0.space() && $0.take(":") && $0.space() && $0.value() }
        case "[": list("[", "]") { $0.value() }
        case "\"": string()
        case "t": word("true")
        case "f": word("false")
        case "n": word("null")
        default: number()
        }
    }

    private mutating func list(_ open: String, _ close: String, _ item: (inout Self) -> Bool) -> Bool {
        guard take(open), space() else { return false }
        if take(close) { return true }
        while true {
            guard space(), item(&self), space() else { return false }
            if take(close) { return true }
            guard take(",") else { return false }
        }
    }

    private mutating func string() -> Bool {
        guard take("\"") else { return false }
        while index < text.count {
            let byte = text[index]
            if byte < 0x20 { return false }
            if take("\"") { return true }
            if take("\\") {
                if take("u") {
                    for _ in 0..<4 where !take("0123456789abcdefABCDEF") { return false }
                } else if !take("\"\\/bfnrt") {
                    return false
                }
            } else {
                index += 1
            }
        }
        return false
    }

    private mutating func digits() -> Bool {
        guard take("0123456789") else { return false }
        while take("0123456789") {}
        return true
    }

    private mutating func number() -> Bool {
        _ = take("-")
        if !take("0"), !digits() { return false }
        if take("."), !digits() { return false }
        if take("eE") {
            _ = take("+-")
            return digits()
        }
        return true
    }
}
