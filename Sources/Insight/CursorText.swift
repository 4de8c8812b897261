import Analytics
import Events

/// How a cursor's place is told to clients: opaque base64url, with a check that tells it from other text.
enum CursorText {
    /// The place's bytes and one to three more of check, so that nothing has to be padded.
    static func text(_ place: [UInt8]) -> String {
        var text: [UInt8] = []
        Base64.append(checked(place).span, to: &text)
        let url = text.map { character -> UInt8 in
            switch character {
            case UInt8(ascii: "+"): UInt8(ascii: "-")
            case UInt8(ascii: "/"): UInt8(ascii: "_")
            default: character
            }
        }
        return String(decoding: url, as: UTF8.self)
    }

    /// The place of `count` bytes that ``text(_:)`` has written; `nil` for anything else.
    static func place(_ text: String, count: Int) -> [UInt8]? {
        // The URL's alphabet only, so that each cursor has one spelling.
        if text.contains("+") || text.contains("/") || text.contains("=") { return nil }
        let standard = text.utf8.map { character -> UInt8 in
            switch character {
            case UInt8(ascii: "-"): UInt8(ascii: "+")
            case UInt8(ascii: "_"): UInt8(ascii: "/")
            default: character
            }
        }
        guard let bytes = Base64.decode(standard.span), bytes.count > count else { return nil }
        let place = Array(bytes[..<count])
        return checked(place) == bytes ? place : nil
    }

    private static func checked(_ place: [UInt8]) -> [UInt8] {
        place + bytes(hash64(place.span)).suffix(3 - place.count % 3)
    }

    /// The big-endian bytes of an integer.
    static func bytes(_ integer: some FixedWidthInteger) -> [UInt8] {
        stride(from: integer.bitWidth - 8, through: 0, by: -8).map {
            UInt8(truncatingIfNeeded: integer >> $0)
        }
    }

    /// The integer that the bytes spell.
    static func integer(_ bytes: ArraySlice<UInt8>) -> UInt128 {
        bytes.reduce(0) { $0 << 8 | UInt128($1) }
    }
}
