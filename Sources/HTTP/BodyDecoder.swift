/// How the end of a request's body is found (RFC 9112 6.3).
package enum BodyFraming: Equatable, Sendable {
    /// There is no body.
    case none
    /// `Content-Length`.
    case length(Int)
    /// `Transfer-Encoding: chunked`.
    case chunked
}

/// Takes a request's body out of the bytes of a connection, whatever the cuts between reads.
package struct BodyDecoder: Sendable {
    private enum Source: Sendable {
        /// So many bytes are still to come.
        case length(Int)
        case chunked(ChunkedDecoder)
    }

    private var source: Source
    private let bodyBytesMax: Int?

    /// A decoder for one body; `bodyBytesMax` of `nil` is for bodies that are streamed and not kept.
    package init(_ framing: BodyFraming, limits: HTTPLimits, bodyBytesMax: Int?) {
        self.bodyBytesMax = bodyBytesMax
        source =
            switch framing {
            case .none: .length(0)
            case .length(let count): .length(count)
            case .chunked: .chunked(ChunkedDecoder(limits: limits, bodyBytesMax: bodyBytesMax))
            }
    }

    /// Whether the body's last byte, the end of the chunked coding included, has been consumed.
    package var isComplete: Bool {
        switch source {
        case .length(let remaining): remaining == 0
        case .chunked(let decoder): decoder.isComplete
        }
    }

    /// Appends the body bytes found in `input` to `output`.
    ///
    /// A body that says beforehand that it will be too large is refused at once, also with an empty `input`.
    ///
    /// - Returns: How many bytes were consumed: all, unless the body ended before.
    package mutating func decode(
        _ input: Span<UInt8>,
        into output: inout [UInt8]
    ) throws(RequestError) -> Int {
        switch source {
        case .length(let remaining):
            if let bodyBytesMax, remaining > bodyBytesMax { throw .bodyTooLarge(limit: bodyBytesMax) }
            let count = min(remaining, input.count)
            output.append(copying: input.extracting(0..<count))
            source = .length(remaining - count)
            return count
        case .chunked(var decoder):
            defer { source = .chunked(decoder) }
            return try decoder.decode(input, into: &output)
        }
    }
}
