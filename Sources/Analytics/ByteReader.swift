/// A position in untrusted bytes, moved forward by checked reads.
///
/// The span is passed to every call and not held, because a type that holds one cannot be declared without
/// experimental features in Swift 6.3. Nothing is allocated for a count before the input has shown that so
/// many entries can follow.
struct ByteReader {
    private(set) var offset = 0

    func error(_ reason: CodecError.Reason) -> CodecError {
        CodecError(reason: reason, offset: offset)
    }

    mutating func byte(_ bytes: Span<UInt8>) throws(CodecError) -> UInt8 {
        guard offset < bytes.count else { throw error(.truncated) }
        defer { offset += 1 }
        return bytes[offset]
    }

    mutating func version(_ expected: UInt8, _ bytes: Span<UInt8>) throws(CodecError) {
        guard try byte(bytes) == expected else {
            offset -= 1
            throw error(.version)
        }
    }

    /// Reads a LEB128 number of at most 64 bits; longer spellings than needed are refused.
    mutating func varint(_ bytes: Span<UInt8>) throws(CodecError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let next = try byte(bytes)
            let bits = UInt64(next & 0x7f)
            let isOverlong = next == 0 && shift > 0
            let isTooLarge = shift == 63 && next > 1
            if isOverlong || isTooLarge { throw error(.number) }
            value |= bits << shift
            if next < 0x80 { return value }
            shift += 7
        }
    }

    /// Reads a zigzag number.
    mutating func signed(_ bytes: Span<UInt8>) throws(CodecError) -> Int64 {
        let raw = try varint(bytes)
        return Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1)
    }

    /// Reads a number that fits an `Int64` and is at least `min`.
    mutating func tally(_ bytes: Span<UInt8>, min: Int64 = 0) throws(CodecError) -> Int64 {
        let raw = try varint(bytes)
        guard let value = Int64(exactly: raw), value >= min else { throw error(.value) }
        return value
    }

    /// Reads how many entries follow, each of at least `entryBytesMin` bytes.
    mutating func count(_ bytes: Span<UInt8>, max: Int, entryBytesMin: Int) throws(CodecError) -> Int {
        let raw = try varint(bytes)
        guard raw <= UInt64(max) else { throw error(.limit) }
        guard Int(raw) <= (bytes.count - offset) / entryBytesMin else { throw error(.truncated) }
        return Int(raw)
    }

    mutating func double(_ bytes: Span<UInt8>) throws(CodecError) -> Double {
        var pattern: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 8) {
            pattern |= UInt64(try byte(bytes)) << shift
        }
        let value = Double(bitPattern: pattern)
        guard value.isFinite else { throw error(.value) }
        return value
    }

    mutating func text(_ bytes: Span<UInt8>, max: Int) throws(CodecError) -> String {
        let length = try count(bytes, max: max, entryBytesMin: 1)
        let part = bytes.extracting(offset..<offset + length)
        do {
            let text = String(copying: try UTF8Span(validating: part))
            offset += length
            return text
        } catch {
            throw self.error(.text)
        }
    }

    func end(_ bytes: Span<UInt8>) throws(CodecError) {
        guard offset == bytes.count else { throw error(.trailing) }
    }
}

extension [UInt8] {
    mutating func append(varint value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(rest))
    }

    mutating func append(signed value: Int64) {
        append(varint: UInt64(bitPattern: value << 1 ^ value >> 63))
    }

    mutating func append(double value: Double) {
        for shift in stride(from: UInt64(0), to: 64, by: 8) {
            append(UInt8(truncatingIfNeeded: value.bitPattern >> shift))
        }
    }

    mutating func append(text: String) {
        append(varint: UInt64(text.utf8.count))
        append(contentsOf: text.utf8)
    }
}
