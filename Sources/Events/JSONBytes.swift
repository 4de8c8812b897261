// The bytes that JSON gives a meaning to, and eight of them looked at in one go.

extension UInt8 {
    static let quote = UInt8(ascii: "\"")
    static let backslash = UInt8(ascii: "\\")
    static let comma = UInt8(ascii: ",")
    static let colon = UInt8(ascii: ":")
    static let braceOpen = UInt8(ascii: "{")
    static let braceClose = UInt8(ascii: "}")
    static let bracketOpen = UInt8(ascii: "[")
    static let bracketClose = UInt8(ascii: "]")
    static let space = UInt8(ascii: " ")
    static let tab = UInt8(ascii: "\t")
    static let lineFeed = UInt8(ascii: "\n")
    static let carriageReturn = UInt8(ascii: "\r")
    static let recordSeparator: UInt8 = 0x1E

    @inline(__always) var isDigit: Bool { self &- UInt8(ascii: "0") < 10 }

    /// Insignificant whitespace of RFC 8259, section 2.
    var isJSONSpace: Bool {
        self == .space || self == .lineFeed || self == .carriageReturn || self == .tab
    }

    /// The value of a hexadecimal digit.
    package var hexValue: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self &- UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self &- UInt8(ascii: "a") &+ 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self &- UInt8(ascii: "A") &+ 10
        default: nil
        }
    }
}

extension UInt64 {
    private static let everyLow: UInt64 = 0x0101_0101_0101_0101
    private static let everyHigh: UInt64 = 0x8080_8080_8080_8080

    /// The high bit of each byte that ends a run of plain string characters: `"`, `\`, control, non-ASCII.
    ///
    /// A borrow may flag bytes above a true find, never below it: only the lowest flag is meaningful.
    @inline(__always) var stringStops: UInt64 {
        let quotes = (self ^ (Self.everyLow &* 0x22)) &- Self.everyLow
        let backslashes = (self ^ (Self.everyLow &* 0x5C)) &- Self.everyLow
        let controls = self &- (Self.everyLow &* 0x20)
        return (self | quotes | backslashes | controls) & Self.everyHigh
    }

    /// The high bit of each byte equal to `byte`; as with ``stringStops`` only the lowest is meaningful.
    @inline(__always) func matches(_ byte: UInt8) -> UInt64 {
        let difference = self ^ (Self.everyLow &* UInt64(byte))
        return (difference &- Self.everyLow) & ~difference & Self.everyHigh
    }

    /// The index of the lowest flagged byte.
    @inline(__always) var lowestFlaggedByte: Int { trailingZeroBitCount &>> 3 }
}

extension Span<UInt8> {
    /// The byte at `index`, or 0 past the end: no JSON text may hold a 0, so one comparison serves both.
    @inline(__always) func byte(at index: Int) -> UInt8 {
        index < count ? self[index] : 0
    }

    /// Eight bytes, the first of them the least significant.
    @inline(__always) func word(at index: Int) -> UInt64 {
        UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self))
    }

    /// The first byte from `index` on that is not whitespace, `index` moved to it; 0 at the end.
    @inline(__always) func skipSpace(_ index: inout Int) -> UInt8 {
        let first = byte(at: index)
        if first > .space { return first }
        return skipSpaceRest(&index)
    }

    @inline(never) private func skipSpaceRest(_ index: inout Int) -> UInt8 {
        while index < count {
            let byte = self[index]
            if !byte.isJSONSpace { return byte }
            index &+= 1
        }
        return 0
    }

    /// The range without whitespace at either end.
    func trimmed() -> Range<Int> {
        var start = 0
        var end = count
        while start < end, self[start].isJSONSpace { start &+= 1 }
        while end > start, self[end &- 1].isJSONSpace { end &-= 1 }
        return start..<end
    }
}
