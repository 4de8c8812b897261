// The one file that talks to zlib: compressed bytes in, plain bytes out, in bounded steps.
//
// zlib keeps the address of its state, so that lives in memory of its own, owned by the inflater and freed
// with it; the pointers into input and output are set for one call and never kept.

import CZlib

/// What inflating may cost.
package struct InflateLimits: Equatable, Sendable {
    /// Inflated bytes in all; `nil` for bodies that are streamed and not kept.
    package var bytesMax: Int?
    /// Inflated bytes for each compressed one.
    ///
    /// Deflate reaches 1032; JSON is around 10, machine-made JSON below 100.
    package var ratioMax = 200
    /// So many inflated bytes are free of the ratio: short bodies may well consist of one repeated line.
    package var ratioFreeBytes = 1 << 20

    package init() {}
}

/// Why compressed bytes cannot be inflated any further.
package enum InflateError: Error, Equatable, Sendable {
    /// They are not of the format, or a checksum is wrong; `offset` is about where, in compressed bytes.
    case corrupt(offset: Int)
    /// They end too early.
    case truncated
    case tooLarge(limit: Int)
    case ratioTooHigh(limit: Int)
}

/// Inflates gzip and deflate, cut anywhere into any number of pieces.
///
///     start → data → end → data (gzip: the next member) …
///                     ↓
///                  padding
package struct Inflater: ~Copyable {
    package enum Format: Equatable, Sendable {
        /// RFC 1952; several members are one text, and zeros may follow (as tape and tar leave them).
        case gzip
        /// RFC 1950, or RFC 1951 alone as some clients send it: RFC 9110 8.4.1.2 knows of them.
        case deflate
    }

    private enum Phase {
        /// Too little has come to tell the format.
        case start
        case data
        /// Behind a complete stream: of gzip another may follow.
        case end
        /// In the zeros behind the last stream.
        case padding
    }

    /// One call makes at most so many bytes.
    package static let stepBytesMax = 64 << 10

    private let format: Format
    private let limits: InflateLimits
    private let stream: UnsafeMutablePointer<z_stream>
    private var phase = Phase.start
    /// The first byte of deflate, until the second tells whether they are zlib's header.
    private var first: UInt8?
    private var failure: InflateError?
    /// Compressed bytes used up so far.
    package private(set) var consumedBytes = 0
    /// Bytes made so far.
    package private(set) var inflatedBytes = 0
    /// Whether another call makes more bytes even without input.
    package private(set) var hasPendingOutput = false

    package init(_ format: Format, limits: InflateLimits = InflateLimits()) {
        self.format = format
        self.limits = limits
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // 15 bits of window, and 16 more for "gzip only" (zlib.h).
        let code = czlib_inflate_init(stream, format == .gzip ? 31 : 15)
        precondition(code == Z_OK, "zlib refuses only without memory, or when header and library do not fit")
    }

    deinit {
        inflateEnd(stream)
        stream.deinitialize(count: 1)
        stream.deallocate()
    }

    /// Inflates from the front of `input` and appends at most ``stepBytesMax`` bytes to `output`.
    ///
    /// - Returns: The bytes of `input` that are used up. Call again while some are left or
    ///   ``hasPendingOutput`` says so.
    /// - Throws: ``InflateError``, the same one ever after; what the call has appended is to be thrown away.
    package mutating func inflate(
        _ input: Span<UInt8>,
        into output: inout [UInt8]
    ) throws(InflateError) -> Int {
        if let failure { throw failure }
        do throws(InflateError) {
            return try advance(input, into: &output)
        } catch {
            failure = error
            hasPendingOutput = false
            throw error
        }
    }

    /// Says that no more input comes.
    ///
    /// - Throws: ``InflateError/truncated`` unless the bytes so far are complete.
    package func finish() throws(InflateError) {
        if let failure { throw failure }
        switch phase {
        case .start, .data: throw .truncated
        case .end, .padding: return
        }
    }

    private mutating func advance(
        _ input: Span<UInt8>,
        into output: inout [UInt8]
    ) throws(InflateError) -> Int {
        switch phase {
        case .start: return try begin(input, into: &output)
        case .data: return try run(input, into: &output)
        case .end:
            if input.isEmpty { return 0 }
            if input[0] == 0 {
                phase = .padding
                return 0
            }
            // Garbage of one byte would otherwise pass for a member cut short.
            guard format == .gzip, input[0] == 0x1F else { throw .corrupt(offset: consumedBytes) }
            inflateReset(stream)
            phase = .data
            return try run(input, into: &output)
        case .padding:
            for index in input.indices where input[index] != 0 {
                throw .corrupt(offset: consumedBytes + index)
            }
            consumedBytes += input.count
            return input.count
        }
    }

    private mutating func begin(
        _ input: Span<UInt8>,
        into output: inout [UInt8]
    ) throws(InflateError) -> Int {
        if input.isEmpty { return 0 }
        if format == .gzip {
            phase = .data
            return try run(input, into: &output)
        }
        guard let first else {
            self.first = input[0]
            return 1
        }
        if !Self.isHeader(first, input[0]) { inflateReset2(stream, -15) }
        phase = .data
        _ = try run([first].span, into: &output)
        return 0
    }

    /// RFC 1950 2.2: method 8, a window of at most 32 KiB, and a multiple of 31.
    ///
    /// No raw stream begins like this: the low bits would be a stored block's, with padding that is not zero.
    private static func isHeader(_ first: UInt8, _ second: UInt8) -> Bool {
        first & 0x0F == 8 && first >> 4 <= 7 && (Int(first) << 8 | Int(second)) % 31 == 0
    }

    private mutating func run(_ input: Span<UInt8>, into output: inout [UInt8]) throws(InflateError) -> Int {
        let stream = stream
        let before = output.count
        var code = Z_OK
        output.append(addingCapacity: Self.stepBytesMax) { room in
            room.withUnsafeMutableBufferPointer { free, made in
                input.withUnsafeBufferPointer { bytes in
                    // zlib only reads what next_in points to; its type says otherwise for the sake of old
                    // compilers.
                    stream.pointee.next_in = UnsafeMutablePointer(mutating: bytes.baseAddress)
                    stream.pointee.avail_in = UInt32(clamping: bytes.count)
                    stream.pointee.next_out = free.baseAddress
                    stream.pointee.avail_out = UInt32(Self.stepBytesMax)
                    code = CZlib.inflate(stream, Z_NO_FLUSH)
                    made = Self.stepBytesMax - Int(stream.pointee.avail_out)
                }
            }
        }
        let used = Int(UInt32(clamping: input.count) - stream.pointee.avail_in)
        consumedBytes += used
        inflatedBytes += output.count - before
        hasPendingOutput = stream.pointee.avail_out == 0 && code == Z_OK
        switch code {
        // Z_BUF_ERROR says only that there was nothing to do.
        case Z_OK, Z_BUF_ERROR: break
        case Z_STREAM_END: phase = .end
        case Z_DATA_ERROR, Z_NEED_DICT: throw .corrupt(offset: consumedBytes)
        default: preconditionFailure("zlib has run out of memory, or its state was damaged: \(code)")
        }
        try checkLimits()
        return used
    }

    private func checkLimits() throws(InflateError) {
        if let bytesMax = limits.bytesMax, inflatedBytes > bytesMax { throw .tooLarge(limit: bytesMax) }
        if inflatedBytes > limits.ratioFreeBytes + limits.ratioMax * consumedBytes {
            throw .ratioTooHigh(limit: limits.ratioMax)
        }
    }
}
