// Layout: version 1, then the body. Body: varints `ignored` and the number of bins; when there are bins,
// minimum, maximum and sum as little-endian IEEE 754, then for each bin its key (the first zigzag, each other
// the distance to the one before, less 1) and its tally. The count is the sum of the tallies.

extension QuantileSketch {
    private static var version: UInt8 { 1 }

    /// Bytes for ``decode(_:)``: 3 for none, some 31 for one number, 2 to 4 more for each bin.
    package func encode() -> [UInt8] {
        var output = [Self.version]
        encodeBody(into: &output)
        return output
    }

    /// Reads exactly what ``encode()`` has written.
    package static func decode(_ bytes: Span<UInt8>) throws(CodecError) -> QuantileSketch {
        var reader = ByteReader()
        try reader.version(version, bytes)
        let value = try QuantileSketch(body: bytes, &reader)
        try reader.end(bytes)
        return value
    }

    func encodeBody(into output: inout [UInt8]) {
        output.append(varint: UInt64(ignored))
        output.append(varint: UInt64(keys.count))
        guard let first = keys.first else { return }
        output.append(double: lowest)
        output.append(double: highest)
        output.append(double: sum)
        output.append(signed: Int64(first))
        output.append(varint: UInt64(tallies[0]))
        for index in 1..<keys.count {
            output.append(varint: UInt64(keys[index] - keys[index - 1] - 1))
            output.append(varint: UInt64(tallies[index]))
        }
    }

    init(body bytes: Span<UInt8>, _ reader: inout ByteReader) throws(CodecError) {
        ignored = try reader.tally(bytes)
        let bins = try reader.count(bytes, max: Self.binsMax, entryBytesMin: 2)
        if bins == 0 { return }
        lowest = try reader.double(bytes)
        highest = try reader.double(bytes)
        sum = try reader.double(bytes)
        keys.reserveCapacity(bins)
        tallies.reserveCapacity(bins)
        let keyMax = Int64(LogarithmicBin.keyMax)
        for index in 0..<bins {
            let key: Int64
            if index == 0 {
                key = try reader.signed(bytes)
            } else {
                let distance = try reader.varint(bytes)
                guard distance <= UInt64(2 * keyMax) else { throw reader.error(.value) }
                key = Int64(keys[index - 1]) + Int64(distance) + 1
            }
            guard -keyMax...keyMax ~= key else { throw reader.error(.value) }
            keys.append(Int32(key))
            let tally = try reader.tally(bytes, min: 1)
            tallies.append(tally)
            count = count.addingSaturated(tally)
        }
        guard isConsistent else { throw reader.error(.value) }
    }

    /// Whether the bounds are those of the bins; the lowest bins may have been collapsed.
    private var isConsistent: Bool {
        guard let first = keys.first, let last = keys.last, lowest <= highest else { return false }
        let (low, high) = (LogarithmicBin.key(lowest), LogarithmicBin.key(highest))
        return high == last && (keys.count < Self.binsMax ? low == first : low <= first)
    }
}
