// The other file that talks to zlib: an answer's bytes in, gzip out, in one go or piece by piece.

import CZlib

/// Makes gzip (RFC 1952) of answers.
package enum Gzip {
    /// Half the size of no compression costs little more than the copy; more saves little and costs a lot.
    package static let fastest: CInt = 1
    /// For what is compressed once and sent often.
    package static let smallest: CInt = 9
    /// 15 bits of window, and 16 more for gzip's wrapping (zlib.h).
    fileprivate static let windowBits: CInt = 31
    fileprivate static let memoryLevel: CInt = 8

    /// The compressed bytes; `nil` when they would not be fewer.
    package static func compress(_ bytes: [UInt8], level: CInt) -> [UInt8]? {
        var stream = z_stream()
        guard begin(&stream, level: level) == Z_OK else { return nil }
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

    fileprivate static func begin(_ stream: UnsafeMutablePointer<z_stream>, level: CInt) -> CInt {
        deflateInit2_(
            stream,
            level,
            Z_DEFLATED,
            windowBits,
            memoryLevel,
            Z_DEFAULT_STRATEGY,
            ZLIB_VERSION,
            CInt(MemoryLayout<z_stream>.size)
        )
    }
}

/// Makes gzip of an answer that is written piece by piece.
///
/// zlib keeps the address of its state, so that lives in memory of its own, freed with this.
struct GzipStream: ~Copyable {
    enum Mode {
        /// Output may wait for more input.
        case gather
        /// All that has come so far can be read by the client.
        case flush
        /// Nothing more comes.
        case finish
    }

    /// What the state takes: a window and a table of 128 KiB each (zconf.h), and little more.
    static let stateBytes = 264 << 10

    /// Room for zlib's output, made anew as long as it is filled.
    private static let stepBytes = 32 << 10

    private let stream: UnsafeMutablePointer<z_stream>

    init() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        let code = Gzip.begin(stream, level: Gzip.fastest)
        precondition(code == Z_OK, "zlib refuses only without memory, or when header and library do not fit")
    }

    deinit {
        deflateEnd(stream)
        stream.deinitialize(count: 1)
        stream.deallocate()
    }

    /// Compresses `input` and appends what comes out.
    mutating func compress(_ input: Span<UInt8>, _ mode: Mode, into output: inout [UInt8]) {
        let flush =
            switch mode {
            case .gather: Z_NO_FLUSH
            case .flush: Z_SYNC_FLUSH
            case .finish: Z_FINISH
            }
        let stream = stream
        input.withUnsafeBufferPointer { bytes in
            // zlib only reads what next_in points to, and keeps it for this closure only.
            stream.pointee.next_in = UnsafeMutablePointer(mutating: bytes.baseAddress)
            stream.pointee.avail_in = UInt32(bytes.count)
            repeat {
                output.append(addingCapacity: Self.stepBytes) { room in
                    room.withUnsafeMutableBufferPointer { free, made in
                        stream.pointee.next_out = free.baseAddress
                        stream.pointee.avail_out = UInt32(Self.stepBytes)
                        let code = deflate(stream, flush)
                        precondition(code != Z_STREAM_ERROR, "the state belongs to this stream alone")
                        made = Self.stepBytes - Int(stream.pointee.avail_out)
                    }
                }
                // All input is taken, and all output is out, once zlib leaves room (zlib.h, deflate).
            } while stream.pointee.avail_out == 0
            stream.pointee.next_in = nil
        }
    }
}
