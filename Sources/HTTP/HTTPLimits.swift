/// Every bound of the HTTP server, with its default and the reason for it.
///
/// Reaching one answers with the status that ``RequestError`` names, or closes the connection where no answer
/// can help.
package struct HTTPLimits: Equatable, Sendable {
    /// The request line and all fields.
    ///
    /// 431 above; four times what browsers with large cookies send.
    package var headBytesMax = 32 * 1024
    /// Field lines of the head, and of the trailers.
    ///
    /// 431 above.
    package var fieldsMax = 100
    /// 414 above; RFC 9112 3 recommends at least 8000.
    package var targetBytesMax = 8 * 1024
    /// Empty lines before a request line (RFC 9112 2.2 asks for tolerance of at least one).
    ///
    /// 400 above.
    package var emptyLinesMax = 8
    /// A body that is held as a whole.
    ///
    /// 413 above.
    package var bodyBytesMax = 16 * 1024 * 1024
    /// One chunk-size line with its extensions.
    ///
    /// 400 above.
    package var chunkLineBytesMax = 4 * 1024
    /// All chunk extensions of one body: one byte a chunk with 4 KiB of extension would be free work
    /// (CVE-2024-22019).
    package var chunkExtensionBytesMax = 16 * 1024
    /// All trailer lines of one body.
    ///
    /// 431 above.
    package var trailerBytesMax = 8 * 1024

    /// From the first byte of a head to its last.
    ///
    /// 408 after it.
    package var headTimeout = Duration.seconds(10)
    /// Between two bytes of a body.
    ///
    /// 408 after it.
    package var bodyProgressTimeout = Duration.seconds(30)
    /// The mean rate that a body must keep, against bodies that drip.
    ///
    /// 408 below it.
    package var bodyBytesPerSecondMin = 1024
    /// From a request's head to the end of a body that is held whole, however well it keeps coming.
    ///
    /// 408 after it. The largest body has to come at 55 KB/s; streamed bodies may take as long as they like.
    package var requestTimeout = Duration.seconds(300)
    /// Between two requests of a connection; closed silently after it.
    package var idleTimeout = Duration.seconds(75)
    /// Between two requests before the connection's task ends and gives back its memory, 8 of 10 KB; the next
    /// bytes begin another one, which costs 2 µs.
    ///
    /// Short, so that what ten thousand clients need one after the other is the same memory.
    package var napTimeout = Duration.milliseconds(100)
    /// For a client that does not read its answer.
    package var writeTimeout = Duration.seconds(30)
    /// How long a stream of events is silent before a comment shows that it lives.
    ///
    /// Proxies take a stream for dead after 60 s as a rule.
    package var heartbeatInterval = Duration.seconds(15)
    /// For requests under way when the server stops.
    package var drainTimeout = Duration.seconds(30)

    /// Connections open at once.
    ///
    /// 503 for the newest above, and the end.
    package var connectionsMax = 10_000
    /// Connections open at once from one IPv4 address or one IPv6 network of 64 bits; 0 for no such bound.
    ///
    /// 503 for the newest above, and the end. Off, because behind a proxy all clients are one address.
    package var connectionsPerAddressMax = 0
    /// Answers to pipelined requests that may wait to be written together.
    ///
    /// Then they are written, and no request is read until the client has taken them.
    package var pipelinedMax = 64
    /// Of a body, read or inflated, before the loop's other connections get their turn; 64 answers likewise.
    package var turnBytesMax = 128 * 1024
    /// One read from a socket.
    package var readChunkBytes = 64 * 1024
    /// What the buffers of all connections and the bodies that are held whole may take together.
    ///
    /// A body that would exceed it is answered with 503 before it is read; streamed bodies are read in small
    /// pieces then. Buffers count as well but are never refused: without one there is no answer at all, and
    /// ``connectionsMax`` bounds them. Sixteen of the largest bodies at once.
    package var bufferedBytesMax = 256 * 1024 * 1024

    /// The defaults.
    package init() {}
}
