// Layout: version 1, then the body. Body: a varint that is the number of entries of the exact form, or
// sparseMax + 1 for the dense one. Exact: the first entry, then the distance to each next one, as varints.
// Dense: 4,096 registers of 6 bits, four in three bytes, the first in the lowest bits.

extension HyperLogLog {
    private static var version: UInt8 { 1 }

    /// Bytes for ``decode(_:)``: 2 for none, some 4 a value up to 512 values, 3,075 beyond.
    package func encode() -> [UInt8] {
        var output = [Self.version]
        encodeBody(into: &output)
        return output
    }

    /// Reads exactly what ``encode()`` has written.
    package static func decode(_ bytes: Span<UInt8>) throws(CodecError) -> HyperLogLog {
        var reader = ByteReader()
        try reader.version(version, bytes)
        let value = try HyperLogLog(body: bytes, &reader)
        try reader.end(bytes)
        return value
    }

    func encodeBody(into output: inout [UInt8]) {
        if isDense { return encodeRegisters(into: &output) }
        output.append(varint: UInt64(entries.count))
        var previous: UInt32 = 0
        for entry in entries {
            output.append(varint: UInt64(entry - previous))
            previous = entry
        }
    }

    private func encodeRegisters(into output: inout [UInt8]) {
        output.append(varint: UInt64(Self.sparseMax + 1))
        for index in stride(from: 0, to: Self.registerCount, by: 4) {
            var group: UInt32 = 0
            for part in 0..<4 { group |= UInt32(registers[index + part]) << UInt32(6 * part) }
            for part in 0..<3 { output.append(UInt8(truncatingIfNeeded: group >> UInt32(8 * part))) }
        }
    }

    init(body bytes: Span<UInt8>, _ reader: inout ByteReader) throws(CodecError) {
        let count = try reader.count(bytes, max: Self.sparseMax + 1, entryBytesMin: 1)
        if count > Self.sparseMax {
            try decodeRegisters(bytes, &reader)
        } else {
            try decodeEntries(count, bytes, &reader)
        }
    }

    private mutating func decodeEntries(
        _ count: Int,
        _ bytes: Span<UInt8>,
        _ reader: inout ByteReader
    ) throws(CodecError) {
        entries.reserveCapacity(count)
        var previous: UInt64 = 0
        for index in 0..<count {
            // Distances are checked before they are added, so that the sum cannot overflow.
            let distance = try reader.varint(bytes)
            guard distance <= UInt64(UInt32.max) - previous else { throw reader.error(.value) }
            let entry = UInt32(previous + distance)
            if index > 0, entry >> 6 <= previous >> 6 { throw reader.error(.order) }
            guard 1...UInt32(Self.sparseRankMax) ~= entry & 63 else { throw reader.error(.value) }
            entries.append(entry)
            previous = UInt64(entry)
        }
    }

    private mutating func decodeRegisters(_ bytes: Span<UInt8>, _ reader: inout ByteReader) throws(CodecError)
    {
        registers.reserveCapacity(Self.registerCount)
        for _ in 0..<Self.registerCount / 4 {
            var group: UInt32 = 0
            for part in 0..<3 { group |= UInt32(try reader.byte(bytes)) << UInt32(8 * part) }
            for part in 0..<4 {
                let rank = UInt8(group >> UInt32(6 * part) & 63)
                guard rank <= UInt8(Self.rankMax) else { throw reader.error(.value) }
                registers.append(rank)
            }
        }
    }
}
