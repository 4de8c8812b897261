package import HTTP
package import Reactor

/// What a handler answers.
package struct Response: Sendable {
    package enum Body: Sendable {
        case bytes([UInt8])
        /// Written as it comes, in chunks; the closure returns when all is written.
        case stream(@Sendable (ResponseWriter) async throws(StreamError) -> Void)
    }

    package var status: Int
    package var contentType: String?
    package var fields: [(String, String)]
    package var body: Body
    /// The same bytes in gzip, for who asks for it, from who answers the same again and again.
    package var gzipped: [UInt8]?
    /// Whether the streamed body is compressed as it is written.
    var isCoded = false
    /// Whether the connection ends with this answer.
    package var closes = false
    /// Whether a streamed answer is written while the request's body is still being read, by
    /// ``ResponseWriter/body``.
    package var readsBody = false

    package init(
        status: Int = 200,
        contentType: String? = "application/json",
        fields: [(String, String)] = [],
        bytes: [UInt8]
    ) {
        self.status = status
        self.contentType = contentType
        self.fields = fields
        body = .bytes(bytes)
    }

    package init(
        status: Int = 200,
        contentType: String,
        fields: [(String, String)] = [],
        stream: @escaping @Sendable (ResponseWriter) async throws(StreamError) -> Void
    ) {
        self.status = status
        self.contentType = contentType
        self.fields = fields
        body = .stream(stream)
    }

    /// The problem as `application/problem+json`.
    package init(_ problem: Problem) {
        self.init(status: problem.status, contentType: Problem.contentType, bytes: problem.json())
    }
}

/// Writes a streamed answer's body, at the pace at which the client reads.
package final class ResponseWriter {
    let io: ConnectionIO
    private let isChunked: Bool
    /// The request's body; what is left of it can be read where ``Response/readsBody`` says so.
    package let body: BodyReader
    /// Set to end the connection behind this answer, whose head has been sent.
    package var closes = false
    private var coder: GzipStream?

    /// Compressed between two turns of the loop: well below a millisecond's worth.
    private static let sliceBytes = 64 << 10

    init(_ io: ConnectionIO, _ body: BodyReader, isChunked: Bool, isCoded: Bool) {
        self.io = io
        self.body = body
        self.isChunked = isChunked
        coder = isCoded ? GzipStream() : nil
    }

    /// Writes `bytes` and returns once the kernel has taken them; compressed or not, the client can read all
    /// of them then.
    ///
    /// - Throws: ``StreamError/timedOut`` when the client does not read for `HTTPLimits.writeTimeout`.
    package func write(_ bytes: [UInt8]) async throws(StreamError) {
        if coder == nil {
            try await send(bytes)
            return
        }
        var start = 0
        while start < bytes.count {
            if start > 0 { await io.stream.loop.nextTurn() }
            let end = min(start + Self.sliceBytes, bytes.count)
            var coded: [UInt8] = []
            let slice = bytes.span.extracting(start..<end)
            coder?.compress(slice, end == bytes.count ? .flush : .gather, into: &coded)
            start = end
            try await send(coded)
        }
    }

    private func send(_ bytes: [UInt8]) async throws(StreamError) {
        if bytes.isEmpty { return }
        var chunk = bytes
        if isChunked {
            chunk = []
            chunk.reserveCapacity(bytes.count + 16)
            ResponseChunk.append(bytes, to: &chunk)
        }
        io.answerBytes += chunk.count
        try await io.send(chunk)
    }

    func finish() async throws(StreamError) {
        if coder != nil {
            var rest: [UInt8] = []
            coder?.compress([UInt8]().span, .finish, into: &rest)
            try await send(rest)
        }
        guard isChunked else { return }
        var end: [UInt8] = []
        ResponseChunk.appendEnd(to: &end)
        io.answerBytes += end.count
        try await io.send(end)
    }
}
