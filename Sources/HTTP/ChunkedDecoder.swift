/// The chunked transfer coding (RFC 9112 7.1): extensions and trailers are checked, bounded and ignored.
///
///     size → blank → extension → sizeEnd → data → dataEnd → dataLineEnd → size
///                                   ↓ (size 0)
///     trailerStart ⇄ trailerName → trailerValue → trailerEnd          trailerStart → lastEnd → complete
struct ChunkedDecoder: Sendable {
    private enum Phase: UInt8 {
        case size
        /// In whitespace after the size, which only an extension may follow.
        case blank
        case ext
        /// After the CR of the size line.
        case sizeEnd
        case data
        /// Before the CR behind the data.
        case dataEnd
        case dataLineEnd
        case trailerStart
        case trailerName
        case trailerValue
        case trailerEnd
        /// After the CR of the last line.
        case lastEnd
        case complete
    }

    private let lineBytesMax: Int
    private let extensionBytesMax: Int
    private let trailerBytesMax: Int
    private let trailersMax: Int
    private let bodyBytesMax: Int?

    private var phase = Phase.size
    /// Of the chunk: first its size while that is read, then what is left of its data.
    private var remaining = 0
    private var bodyBytes = 0
    private var lineBytes = 0
    private var extensionBytes = 0
    private var trailerBytes = 0
    private var trailers = 0
    private var offset = 0

    init(limits: HTTPLimits, bodyBytesMax: Int?) {
        lineBytesMax = limits.chunkLineBytesMax
        extensionBytesMax = limits.chunkExtensionBytesMax
        trailerBytesMax = limits.trailerBytesMax
        trailersMax = limits.fieldsMax
        self.bodyBytesMax = bodyBytesMax
    }

    var isComplete: Bool { phase == .complete }

    mutating func decode(_ input: Span<UInt8>, into output: inout [UInt8]) throws(RequestError) -> Int {
        var index = 0
        while index < input.count, phase != .complete {
            if phase == .data {
                let count = min(remaining, input.count - index)
                output.append(copying: input.extracting(index..<index + count))
                remaining -= count
                index += count
                offset += count
                if remaining == 0 { phase = .dataEnd }
            } else {
                try take(input[index])
                index += 1
                offset += 1
            }
        }
        return index
    }

    /// Moves on by one byte of the coding.
    private mutating func take(_ byte: UInt8) throws(RequestError) {
        switch phase {
        case .size, .blank, .ext: try takeSizeLine(byte)
        case .sizeEnd:
            try expect(.lineFeed, byte)
            phase = remaining == 0 ? .trailerStart : .data
        case .dataEnd:
            try expect(.carriageReturn, byte)
            phase = .dataLineEnd
        case .dataLineEnd:
            try expect(.lineFeed, byte)
            (phase, lineBytes) = (.size, 0)
        case .trailerStart, .trailerName, .trailerValue, .trailerEnd: try takeTrailer(byte)
        case .lastEnd:
            guard byte == .lineFeed else { throw .malformedTrailer(offset: offset) }
            phase = .complete
        case .data, .complete: preconditionFailure("data is not taken byte by byte")
        }
    }

    private mutating func takeSizeLine(_ byte: UInt8) throws(RequestError) {
        lineBytes += 1
        if lineBytes > lineBytesMax { throw .chunkExtensionsTooLarge(limit: lineBytesMax) }
        if phase == .size, let digit = byte.hexValue {
            // A chunk that would not fit an Int does not exist; wrapping round would make a small one of it.
            guard remaining <= Int.max >> 4 else { throw .malformedChunk(offset: offset) }
            remaining = remaining << 4 | digit
            return
        }
        guard lineBytes > 1 else { throw .malformedChunk(offset: offset) }
        switch (byte, phase) {
        case (.carriageReturn, .size), (.carriageReturn, .ext): try endSizeLine()
        case (.semicolon, _): phase = .ext
        case (.space, .size), (.tab, .size), (.space, .blank), (.tab, .blank): phase = .blank
        case (_, .ext) where ByteClass.contains(byte, ByteClass.fieldValue): break
        default: throw .malformedChunk(offset: offset)
        }
        if phase != .sizeEnd { extensionBytes += 1 }
        if extensionBytes > extensionBytesMax { throw .chunkExtensionsTooLarge(limit: extensionBytesMax) }
    }

    private mutating func endSizeLine() throws(RequestError) {
        let (sum, overflow) = bodyBytes.addingReportingOverflow(remaining)
        if overflow { throw .malformedChunk(offset: offset) }
        if let bodyBytesMax, sum > bodyBytesMax { throw .bodyTooLarge(limit: bodyBytesMax) }
        bodyBytes = sum
        phase = .sizeEnd
    }

    /// Trailer fields are ignored: none may change framing, routing or authentication (RFC 9110 6.5.1).
    private mutating func takeTrailer(_ byte: UInt8) throws(RequestError) {
        trailerBytes += 1
        if trailerBytes > trailerBytesMax { throw .trailersTooLarge(limit: trailerBytesMax) }
        switch phase {
        case .trailerStart where byte == .carriageReturn: phase = .lastEnd
        case .trailerStart where ByteClass.contains(byte, ByteClass.token):
            trailers += 1
            if trailers > trailersMax { throw .trailersTooLarge(limit: trailersMax) }
            phase = .trailerName
        case .trailerName where byte == .colon: phase = .trailerValue
        case .trailerName where ByteClass.contains(byte, ByteClass.token): break
        case .trailerValue where byte == .carriageReturn: phase = .trailerEnd
        case .trailerValue where ByteClass.contains(byte, ByteClass.fieldValue): break
        case .trailerEnd where byte == .lineFeed: phase = .trailerStart
        default: throw .malformedTrailer(offset: offset)
        }
    }

    private func expect(_ expected: UInt8, _ byte: UInt8) throws(RequestError) {
        guard byte == expected else { throw .malformedChunk(offset: offset) }
    }
}
