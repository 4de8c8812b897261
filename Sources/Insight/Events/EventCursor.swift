import Analytics
import Events

/// Where a page of events ended: its last event's place in the order of time.
///
/// Opaque to clients: 36 characters of base64url, with a check that tells a cursor from other text.
struct EventCursor: Equatable, Sendable {
    /// Microseconds since 1970.
    let time: Int64
    let key: UInt128

    init(time: Int64, key: UInt128) {
        self.time = time
        self.key = key
    }

    /// Reads what ``text`` has written; `nil` for anything else.
    init?(text: String) {
        // The URL's alphabet only, so that each cursor has one spelling.
        if text.contains("+") || text.contains("/") || text.contains("=") { return nil }
        let standard = text.utf8.map { character -> UInt8 in
            switch character {
            case UInt8(ascii: "-"): UInt8(ascii: "+")
            case UInt8(ascii: "_"): UInt8(ascii: "/")
            default: character
            }
        }
        guard let bytes = Base64.decode(standard.span), bytes.count == 27 else { return nil }
        time = Int64(truncatingIfNeeded: Self.integer(bytes[0..<8]))
        key = Self.integer(bytes[8..<24])
        guard Timestamp.range.contains(time), self.bytes == bytes else { return nil }
    }

    var text: String {
        var text: [UInt8] = []
        Base64.append(bytes.span, to: &text)
        let url = text.map { character -> UInt8 in
            switch character {
            case UInt8(ascii: "+"): UInt8(ascii: "-")
            case UInt8(ascii: "/"): UInt8(ascii: "_")
            default: character
            }
        }
        return String(decoding: url, as: UTF8.self)
    }

    /// Time, key and three bytes of check.
    private var bytes: [UInt8] {
        var bytes: [UInt8] = []
        let moment = UInt64(bitPattern: time)
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: moment >> UInt64(shift)))
        }
        for shift in stride(from: 120, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: key >> UInt128(shift)))
        }
        let check = hash64(bytes.span)
        for shift in stride(from: 16, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: check >> UInt64(shift)))
        }
        return bytes
    }

    private static func integer(_ bytes: ArraySlice<UInt8>) -> UInt128 {
        bytes.reduce(0) { $0 << 8 | UInt128($1) }
    }
}
