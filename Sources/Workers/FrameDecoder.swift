import Events
package import Reactor

/// Turns a stream of bytes, cut anywhere, into frames.
///
/// Feed it what was read; it takes bytes up to the end of the next frame and remembers where it is. Lengths
/// are checked as soon as the twelve prefix bytes are there, before anything is allocated for them. After an
/// error the decoder must not be used again: there is no way to find the next frame.
package struct FrameDecoder: Sendable {
    private enum Stage: Equatable {
        case prefix
        case header
        case body
    }

    package var limits: FrameLimits
    /// Whether a chunk comes out as it is, with ``Frame/hasMore``, and is not kept for the rest of its
    /// message: for messages that are longer than anybody wants to hold.
    package var givesChunks = false
    private var stage = Stage.prefix
    private var prefix: [UInt8] = []
    private var current = Frame(FrameType(rawValue: 0), sequence: 0)
    private var flags: UInt8 = 0
    private var headerBytes = 0
    private var bodyBytes = 0
    /// The chunks so far of a message whose last one has not come.
    private var open: Frame?

    package init(limits: FrameLimits = FrameLimits()) {
        self.limits = limits
        prefix.reserveCapacity(Frame.prefixBytes)
    }

    /// Takes bytes from the front of `input`, at most to the end of one message.
    ///
    /// - Returns: the bytes taken, and the message if it is complete. Without one, all of `input` was taken.
    package mutating func take(_ input: Span<UInt8>) throws(FrameError) -> (taken: Int, frame: Frame?) {
        var offset = 0
        while true {
            switch stage {
            case .prefix:
                offset = Self.fill(&prefix, to: Frame.prefixBytes, from: input, at: offset)
                if prefix.count < Frame.prefixBytes { return (offset, nil) }
                try readPrefix()
                stage = .header
            case .header:
                offset = Self.fill(&current.header, to: headerBytes, from: input, at: offset)
                if current.header.count < headerBytes { return (offset, nil) }
                stage = .body
            case .body:
                offset = Self.fill(&current.body, to: bodyBytes, from: input, at: offset)
                if current.body.count < bodyBytes { return (offset, nil) }
                stage = .prefix
                prefix.removeAll(keepingCapacity: true)
                if let frame = try finishFrame() { return (offset, frame) }
            }
        }
    }

    /// Takes the next message out of `input`; `nil` when it has all been taken and none is complete.
    package mutating func next(from input: inout ReadBuffer) throws(FrameError) -> Frame? {
        if input.isEmpty { return nil }
        let (taken, frame) = try take(input.bytes.span.extracting(input.readable))
        input.consume(taken)
        return frame
    }

    /// Tells whether the stream may end here; throws ``FrameError/truncatedFrame`` inside a message.
    package func finish() throws(FrameError) {
        if stage != .prefix || !prefix.isEmpty || open != nil { throw .truncatedFrame }
    }

    private mutating func readPrefix() throws(FrameError) {
        bodyBytes = Int(bigEndian(prefix[0..<4]))
        flags = prefix[5]
        headerBytes = Int(bigEndian(prefix[6..<8]))
        if headerBytes > limits.headerBytesMax {
            throw .headerTooLong(bytes: headerBytes, limit: limits.headerBytesMax)
        }
        if bodyBytes > limits.bodyBytesMax {
            throw .bodyTooLong(bytes: bodyBytes, limit: limits.bodyBytesMax)
        }
        if flags & ~Frame.flagMoreChunks != 0 { throw .unknownFlags(flags) }
        current = Frame(FrameType(rawValue: prefix[4]), sequence: UInt32(bigEndian(prefix[8..<12])))
        current.header.reserveCapacity(headerBytes)
        try joinOpenMessage()
    }

    /// Makes the frame whose prefix was just read the next chunk of the open message, if it is one.
    private mutating func joinOpenMessage() throws(FrameError) {
        guard let first = open, first.type == current.type, first.sequence == current.sequence else {
            // Whole frames may come between two chunks (a PONG, a LOG); other chunks may not.
            if open != nil, flags & Frame.flagMoreChunks != 0 { throw .interleavedChunks }
            current.body.reserveCapacity(bodyBytes)
            return
        }
        if bodyBytes > limits.messageBytesMax - first.body.count {
            throw .messageTooLong(limit: limits.messageBytesMax)
        }
    }

    /// Returns the frame that has just ended as a message, or keeps it as a chunk and returns `nil`.
    private mutating func finishFrame() throws(FrameError) -> Frame? {
        let frame = current
        current.header = []
        current.body = []
        let hasMore = flags & Frame.flagMoreChunks != 0
        if givesChunks {
            var chunk = frame
            chunk.hasMore = hasMore
            return chunk
        }
        guard let first = open, first.type == frame.type, first.sequence == frame.sequence else {
            if !hasMore { return frame }
            open = frame
            return nil
        }
        // The first chunk's header counts; those of later chunks are empty by convention and ignored.
        open?.body.append(contentsOf: frame.body)
        if hasMore { return nil }
        defer { open = nil }
        return open
    }

    /// Appends to `target` until it holds `count` bytes or the input ends; returns the new offset.
    private static func fill(
        _ target: inout [UInt8],
        to count: Int,
        from input: Span<UInt8>,
        at offset: Int
    ) -> Int {
        let end = min(input.count, offset + count - target.count)
        if end > offset { target.append(copying: input.extracting(offset..<end)) }
        return max(offset, end)
    }

    private func bigEndian(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }
}
