/// Who a spool is and how far it has been drained: the file `cursor`.
///
/// Two slots that are written in turn, so that one is whole whenever the power goes. The database has the
/// last word on the position, which it keeps in the transactions that drain; this copy lets the spool begin
/// without it.
struct SpoolCursor: Equatable, Sendable {
    /// Random, made once; what the database knows the spool by.
    var identity: UInt128
    /// Counts the times that the spool was opened: the high half of the sequences that are given out then.
    ///
    /// So no sequence is ever used twice, whatever became of the last ones of an earlier time.
    var generation: UInt32
    /// One past the last sequence that has been drained.
    var position: UInt64
    /// Counts the times that the cursor was written.
    var version: UInt64

    static let slotBytes = 512
    static let fileBytes = 2 * slotBytes
    private static let magic: UInt64 = 0x6C6F_6F70_732D_726D  // "mr-spool"

    /// The first sequence of its generation.
    var firstSequence: UInt64 { UInt64(generation) << 32 }

    /// Where this version of it is written.
    var slotOffset: Int { Int(version % 2) * Self.slotBytes }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(littleEndian: Self.magic)
        bytes.append(littleEndian: UInt64(truncatingIfNeeded: identity >> 64))
        bytes.append(littleEndian: UInt64(truncatingIfNeeded: identity))
        bytes.append(littleEndian: UInt64(generation))
        bytes.append(littleEndian: position)
        bytes.append(littleEndian: version)
        bytes.append(littleEndian: UInt64(CRC32C.of(bytes.span)))
        return bytes
    }

    private static let wordCount = 7

    /// The newest whole slot of the file's bytes; `nil` when there is none.
    static func read(_ bytes: [UInt8]) -> SpoolCursor? {
        let slots = [0, slotBytes].compactMap { slot(bytes, at: $0) }
        return slots.max { $0.version < $1.version }
    }

    private static func slot(_ bytes: [UInt8], at offset: Int) -> SpoolCursor? {
        guard bytes.count >= offset + wordCount * 8 else { return nil }
        let span = bytes.span.extracting(offset..<offset + wordCount * 8)
        let words = (0..<wordCount).map { index in
            // The offset is checked; every pattern is an integer.
            UInt64(littleEndian: span.bytes.unsafeLoadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
        }
        let sum = UInt64(CRC32C.of(span.extracting(0..<(wordCount - 1) * 8)))
        guard words[0] == magic, words[6] == sum else { return nil }
        return SpoolCursor(
            identity: UInt128(words[1]) << 64 | UInt128(words[2]),
            generation: UInt32(truncatingIfNeeded: words[3]),
            position: words[4],
            version: words[5]
        )
    }
}
