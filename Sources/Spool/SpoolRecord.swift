import Reactor

/// What is appended: the bytes that come back, and what is known of them without reading them.
package struct SpoolEntry: Equatable, Sendable {
    package let payload: [UInt8]
    /// Events in the payload.
    package let events: Int
    /// Names the attempt whose outcome is unknown that this is a copy of; 0 for none.
    package let mark: UInt64

    package init(payload: [UInt8], events: Int, mark: UInt64 = 0) {
        self.payload = payload
        self.events = events
        self.mark = mark
    }
}

/// An entry that is on the disk, and its place in the order of all.
package struct SpooledRecord: Equatable, Sendable {
    package let sequence: UInt64
    package let mark: UInt64
    package let events: Int
    package let payload: [UInt8]
    /// Its place among the records that were made durable together.
    let groupIndex: UInt32
}

extension SpooledRecord {
    /// Reads the record at `offset`; `nil` when none is there, or a damaged one.
    static func read(
        _ file: any SpoolFile,
        at offset: Int,
        salt: UInt32,
        _ limits: SpoolLimits
    ) throws(SystemError) -> SpooledRecord? {
        let head = try file.read(at: offset, count: RecordHeader.byteCount)
        guard let header = RecordHeader(head.span, at: 0, salt: salt),
            header.payloadBytes <= limits.payloadBytesMax
        else { return nil }
        let payload = try file.read(at: offset + RecordHeader.byteCount, count: header.payloadBytes)
        guard payload.count == header.payloadBytes,
            RecordHeader.sum(payload.span, salt: salt) == header.sum
        else { return nil }
        return SpooledRecord(header, payload)
    }

    init(_ header: RecordHeader, _ payload: [UInt8]) {
        sequence = header.sequence
        mark = header.mark
        events = header.events
        self.payload = payload
        groupIndex = header.groupIndex
    }
}

/// The bytes of a record in a segment.
///
///     0  length of the payload, UInt32
///     4  CRC-32C of the payload, UInt32
///     8  sequence, UInt64
///     16 mark, UInt64
///     24 events, UInt32
///     28 place in its group, UInt32
///     32 CRC-32C of the above, UInt32
///     36 zero, UInt32
///     40 payload, then zeros up to a multiple of 8
///
/// All little-endian; the segment's salt is the seed of both sums. The salt is random and in the segment's
/// name: without it a client could send an event whose bytes are a record, which a scan would find in the
/// ruins of a damaged one, or many headers that each cost the scan the sum of a long payload.
struct RecordHeader: Equatable {
    static let byteCount = 40
    static let alignment = 8
    private static let summedBytes = 32

    var payloadBytes: Int
    var sum: UInt32
    var sequence: UInt64
    var mark: UInt64
    var events: Int
    /// Records before it that were made durable together with it.
    var groupIndex: UInt32

    /// Bytes from the record's beginning to the next one's.
    var recordBytes: Int { Self.recordBytes(payload: payloadBytes) }

    static func recordBytes(payload count: Int) -> Int {
        byteCount + (count + alignment - 1) / alignment * alignment
    }

    /// Reads a header; `nil` for bytes that are none.
    init?(_ bytes: Span<UInt8>, at offset: Int, salt: UInt32) {
        let raw = bytes.bytes
        // The offsets are checked; every pattern is an integer.
        func word32(_ at: Int) -> UInt32 {
            UInt32(littleEndian: raw.unsafeLoadUnaligned(fromByteOffset: offset + at, as: UInt32.self))
        }
        func word64(_ at: Int) -> UInt64 {
            UInt64(littleEndian: raw.unsafeLoadUnaligned(fromByteOffset: offset + at, as: UInt64.self))
        }
        guard offset + Self.byteCount <= bytes.count,
            word32(32) == Self.sum(bytes.extracting(offset..<offset + Self.summedBytes), salt: salt)
        else { return nil }
        payloadBytes = Int(word32(0))
        sum = word32(4)
        sequence = word64(8)
        mark = word64(16)
        events = Int(word32(24))
        groupIndex = word32(28)
    }

    /// Appends a record to what is to be written.
    static func append(
        _ entry: SpoolEntry,
        sequence: UInt64,
        groupIndex: Int,
        salt: UInt32,
        to bytes: inout [UInt8]
    ) {
        let start = bytes.count
        bytes.append(littleEndian: UInt32(entry.payload.count))
        bytes.append(littleEndian: sum(entry.payload.span, salt: salt))
        bytes.append(littleEndian: sequence)
        bytes.append(littleEndian: entry.mark)
        bytes.append(littleEndian: UInt32(entry.events))
        bytes.append(littleEndian: UInt32(groupIndex))
        let headerSum = sum(bytes.span.extracting(start..<start + summedBytes), salt: salt)
        bytes.append(littleEndian: headerSum)
        bytes.append(littleEndian: UInt32(0))
        bytes.append(contentsOf: entry.payload)
        let padding = recordBytes(payload: entry.payload.count) - (bytes.count - start)
        bytes.append(contentsOf: repeatElement(0, count: padding))
    }

    static func sum(_ bytes: Span<UInt8>, salt: UInt32) -> UInt32 {
        var sum = CRC32C(seed: salt)
        sum.add(bytes)
        return sum.value
    }
}

extension [UInt8] {
    /// Appends the integer's bytes, the lowest first.
    ///
    /// Inlined into other targets, where it would be a dozen calls by witness a byte.
    @inlinable package mutating func append(littleEndian value: some FixedWidthInteger) {
        for index in 0..<value.bitWidth / 8 { append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
    }
}
