/// CRC-32C (Castagnoli; RFC 3720, appendix B.4): what tells a whole record from a torn or a changed one.
///
/// Eight tables, so that eight bytes cost one step ("slicing by 8", Kounavis and Berry, 2005).
struct CRC32C: Sendable {
    private var register: UInt32

    /// A sum that nothing has been added to; a `seed` other than 0 gives other sums to the same bytes.
    init(seed: UInt32 = 0) { register = ~seed }

    /// The sum of all that was added.
    var value: UInt32 { ~register }

    /// Adds bytes.
    mutating func add(_ bytes: Span<UInt8>) {
        let tables = Self.tables.span
        let raw = bytes.bytes
        var sum = register
        var index = 0
        while index &+ 8 <= bytes.count {
            // "unsafe" is about types for which some bit patterns are no values; the offset is checked.
            let word = UInt64(littleEndian: raw.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self))
            let low = UInt32(truncatingIfNeeded: word) ^ sum
            let high = UInt32(truncatingIfNeeded: word >> 32)
            sum =
                tables[0x700 &+ Int(low & 0xFF)] ^ tables[0x600 &+ Int(low >> 8 & 0xFF)]
                ^ tables[0x500 &+ Int(low >> 16 & 0xFF)] ^ tables[0x400 &+ Int(low >> 24)]
                ^ tables[0x300 &+ Int(high & 0xFF)] ^ tables[0x200 &+ Int(high >> 8 & 0xFF)]
                ^ tables[0x100 &+ Int(high >> 16 & 0xFF)] ^ tables[Int(high >> 24)]
            index &+= 8
        }
        while index < bytes.count {
            sum = tables[Int((sum ^ UInt32(bytes[index])) & 0xFF)] ^ sum >> 8
            index &+= 1
        }
        register = sum
    }

    /// The sum of `bytes` alone.
    static func of(_ bytes: Span<UInt8>) -> UInt32 {
        var sum = CRC32C()
        sum.add(bytes)
        return sum.value
    }

    /// 0x1EDC6F41 with its bits in the order in which they come.
    private static let polynomial: UInt32 = 0x82F6_3B78

    /// Table n at 256 n: the sum of a byte that n zero bytes follow.
    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var sum = UInt32(byte)
            for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ polynomial : sum >> 1 }
            tables[byte] = sum
        }
        for index in 256..<tables.count {
            let before = tables[index - 256]
            tables[index] = tables[Int(before & 0xFF)] ^ before >> 8
        }
        return tables
    }()
}
