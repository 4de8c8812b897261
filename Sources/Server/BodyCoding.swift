package import HTTP

/// How a request's body is encoded, and whether it can be read here.
package enum BodyCoding: Equatable, Sendable {
    case identity
    case compressed(Inflater.Format)
    /// Answered with 415.
    case unsupported

    /// Reads `Content-Encoding`: one coding that is known here; `identity` beside it means nothing.
    package init(_ head: RequestHead) {
        guard let value = head.list(.contentEncoding) else {
            self = .identity
            return
        }
        switch ContentCoding.list(value.span).filter({ $0 != .identity }) {
        case []: self = .identity
        case [.gzip]: self = .compressed(.gzip)
        case [.deflate]: self = .compressed(.deflate)
        default: self = .unsupported
        }
    }

    /// What a 415 names in its `Accept-Encoding` (RFC 9110 15.5.16).
    static let accepted = "gzip, deflate"
}

/// A compressed body on its way: what has been read of it and not been inflated yet.
struct BodyInflation: ~Copyable {
    private var inflater: Inflater
    private var encoded: [UInt8] = []
    private var used = 0

    init(_ format: Inflater.Format, limits: InflateLimits) {
        inflater = Inflater(format, limits: limits)
    }

    /// Whether ``inflate(into:)`` would do anything.
    var isWaiting: Bool { used == encoded.count && !inflater.hasPendingOutput }

    /// Lets `read` append the next compressed bytes; once ``isWaiting`` only.
    mutating func refill<Failure: Error>(_ read: (inout [UInt8]) throws(Failure) -> Void) throws(Failure) {
        encoded.removeAll(keepingCapacity: true)
        used = 0
        try read(&encoded)
    }

    /// Makes one step.
    mutating func inflate(into buffer: inout [UInt8]) throws(InflateError) {
        let encoded = encoded
        used += try inflater.inflate(encoded.span.extracting(used..<encoded.count), into: &buffer)
    }

    func finish() throws(InflateError) { try inflater.finish() }
}
