/// What a segment's file name says about it; nothing of it is in the file, where it could be damaged.
struct SegmentName: Equatable, Sendable, CustomStringConvertible {
    /// Rises from segment to segment: their order.
    let index: UInt32
    /// The sequence of its first record.
    ///
    /// A segment holds records below that of the next one; what else it has was never acknowledged.
    let first: UInt64
    /// The seed of its records' sums.
    let salt: UInt32

    init(index: UInt32, first: UInt64, salt: UInt32) {
        self.index = index
        self.first = first
        self.salt = salt
    }

    /// The name of a segment's file; `nil` for other files.
    init?(_ name: String) {
        guard name.hasSuffix(Self.ending) else { return nil }
        let parts = name.dropLast(Self.ending.count).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, let index = UInt32(parts[0], radix: 16),
            let first = UInt64(parts[1], radix: 16), let salt = UInt32(parts[2], radix: 16)
        else { return nil }
        self.init(index: index, first: first, salt: salt)
    }

    /// The first version of what is in the file.
    private static let ending = ".segment1"

    var description: String {
        "\(hexadecimal(index, digits: 8))-\(hexadecimal(first, digits: 16))-\(hexadecimal(salt, digits: 8))"
            + Self.ending
    }

    /// Where it is kept when it was found damaged and all that can be read of it has been.
    var aside: String { "\(self)" + SpoolNames.asideEnding }
}

/// The other files of a spool.
enum SpoolNames {
    /// The segment that comes next; nothing but zeros.
    static let spare = "spare"
    static let cursor = "cursor"
    static let asideEnding = ".damaged"
    private static let withheldEnding = ".withheld"

    /// The file of a record that is withheld.
    static func withheld(_ sequence: UInt64) -> String { hexadecimal(sequence, digits: 16) + withheldEnding }

    /// The sequence of the record in such a file; `nil` for other files.
    static func withheldSequence(_ name: String) -> UInt64? {
        guard name.hasSuffix(withheldEnding) else { return nil }
        return UInt64(name.dropLast(withheldEnding.count), radix: 16)
    }
}

func hexadecimal(_ value: some UnsignedInteger, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}
