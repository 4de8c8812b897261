/// One row of a result in text format, read from left to right.
struct ReadRow {
    private let values: [String?]
    private var position = 0

    init(_ values: [String?]) { self.values = values }

    mutating func text() throws(ReadError) -> String? {
        guard position < values.count else { throw .corrupt("a row has fewer columns than were asked for") }
        position += 1
        return values[position - 1]
    }

    mutating func string() throws(ReadError) -> String {
        guard let value = try text() else { throw .corrupt("a column is null that cannot be") }
        return value
    }

    mutating func integer() throws(ReadError) -> Int64 {
        let value = try string()
        guard let number = Int64(value) else { throw .corrupt("a column holds no integer") }
        return number
    }

    mutating func double() throws(ReadError) -> Double {
        let value = try string()
        guard let number = Double(value) else { throw .corrupt("a column holds no number") }
        return number
    }

    /// A bytea, which comes as `\x` and hexadecimal digits.
    mutating func bytes() throws(ReadError) -> [UInt8]? {
        guard let value = try text() else { return nil }
        let digits = value.utf8.dropFirst(2)
        guard value.utf8.starts(with: [0x5C, 0x78]), digits.count % 2 == 0 else {
            throw .corrupt("a column holds no bytea")
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2)
        var high: UInt8?
        for digit in digits {
            guard let nibble = Self.nibble(digit) else { throw .corrupt("a column holds no bytea") }
            if let first = high {
                bytes.append(first << 4 | nibble)
                high = nil
            } else {
                high = nibble
            }
        }
        return bytes
    }

    private static func nibble(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
