import Events
import HTTP

extension JSONWriter {
    /// A name and a moment, as RFC 3339 writes it.
    mutating func member(_ name: String, time: Int64) {
        key(name)
        string(utf8: Timestamp.format(time).span)
    }

    /// A name and an integer, `null` for nil.
    mutating func member(_ name: String, _ value: Int64?) {
        key(name)
        if let value { int(value) } else { null() }
    }

    /// A name and a measured value, `null` for nil.
    mutating func member(_ name: String, rounded value: Double?) {
        key(name)
        rounded(value)
    }

    /// A measured value: digits below a thousandth are noise.
    mutating func rounded(_ value: Double?) {
        guard let value, value.isFinite else { return null() }
        double(abs(value) < 1e12 ? (value * 1_000).rounded() / 1_000 : value)
    }

    /// The members of a JSON object's text, without its braces, among those of the object that is open.
    mutating func members(of object: [UInt8]) {
        guard let start = object.firstIndex(of: UInt8(ascii: "{")),
            let end = object.lastIndex(of: UInt8(ascii: "}"))
        else { return }
        let inner = object[(start + 1)..<end]
        if inner.contains(UInt8(ascii: ":")) { raw(Array(inner)) }
    }
}
