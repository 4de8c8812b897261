import CZlib

/// Compresses with zlib, as clients do.
enum Deflater {
    enum Wrapping: CInt, CaseIterable {
        case gzip = 31
        case zlib = 15
        case raw = -15
    }

    static func compress(_ bytes: [UInt8], _ wrapping: Wrapping, level: CInt = 6) -> [UInt8] {
        var stream = z_stream()
        let size = CInt(MemoryLayout<z_stream>.size)
        let code = deflateInit2_(
            &stream,
            level,
            Z_DEFLATED,
            wrapping.rawValue,
            8,
            Z_DEFAULT_STRATEGY,
            ZLIB_VERSION,
            size
        )
        precondition(code == Z_OK, "zlib can compress")
        defer { deflateEnd(&stream) }
        var input = bytes
        let bound = Int(deflateBound(&stream, UInt(bytes.count)))
        return [UInt8](unsafeUninitializedCapacity: bound) { room, count in
            input.withUnsafeMutableBufferPointer { bytes in
                stream.next_in = bytes.baseAddress
                stream.avail_in = UInt32(bytes.count)
                stream.next_out = room.baseAddress
                stream.avail_out = UInt32(bound)
                precondition(deflate(&stream, Z_FINISH) == Z_STREAM_END, "the bound is enough")
            }
            count = bound - Int(stream.avail_out)
        }
    }
}
