// The other file that talks to zlib: an answer's bytes in, gzip out, in one go.

import CZlib

/// Makes gzip (RFC 1952) of answers.
enum Gzip {
    /// Half the size of no compression costs little more than the copy; more saves little and costs a lot.
    private static let level: CInt = 1
    /// 15 bits of window, and 16 more for gzip's wrapping (zlib.h).
    private static let windowBits: CInt = 31
    private static let memoryLevel: CInt = 8

    /// The compressed bytes; `nil` when they would not be fewer.
    static func compress(_ bytes: [UInt8]) -> [UInt8]? {
        var stream = z_stream()
        let code = deflateInit2_(
            &stream,
            level,
            Z_DEFLATED,
            windowBits,
            memoryLevel,
            Z_DEFAULT_STRATEGY,
            ZLIB_VERSION,
            CInt(MemoryLayout<z_stream>.size)
        )
        guard code == Z_OK else { return nil }
        defer { deflateEnd(&stream) }
        let room = bytes.count
        var isDone = false
        let compressed = [UInt8](unsafeUninitializedCapacity: room) { output, count in
            bytes.withUnsafeBufferPointer { input in
                // zlib only reads what next_in points to, and keeps neither pointer beyond the call.
                stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
                stream.avail_in = UInt32(input.count)
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(room)
                isDone = deflate(&stream, Z_FINISH) == Z_STREAM_END
            }
            count = isDone ? room - Int(stream.avail_out) : 0
        }
        return isDone ? compressed : nil
    }
}
