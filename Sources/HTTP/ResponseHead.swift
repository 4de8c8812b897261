/// How the client finds the end of an answer's body.
package enum ResponseFraming: Equatable, Sendable {
    /// `Content-Length`; also for the answer to HEAD, with the length that GET would have.
    case length(Int)
    /// `Transfer-Encoding: chunked`, for HTTP/1.1 clients.
    case chunked
    /// The connection's end, for streams to HTTP/1.0 clients; `closes` must be set.
    case untilClose
    /// No body and no word about it: 204 and 304.
    case none
}

/// The status line and fields of one answer.
package struct ResponseHead: Sendable {
    package var status: Int
    package var contentType: String?
    /// Further fields, written as they are; control characters in a value become spaces.
    package var fields: [(String, String)]
    package var framing: ResponseFraming
    /// Whether the connection closes after the answer.
    package var closes: Bool
    /// Whether to say `keep-alive`, which HTTP/1.0 clients need to hear.
    package var announcesKeepAlive = false
    /// The 29 bytes of ``HTTPDate``, which the connection's owner keeps for a second.
    package var date: [UInt8]

    /// A head; `framing` must fit the status and the client's version.
    package init(
        status: Int,
        contentType: String? = nil,
        fields: [(String, String)] = [],
        framing: ResponseFraming,
        closes: Bool = false,
        date: [UInt8]
    ) {
        self.status = status
        self.contentType = contentType
        self.fields = fields
        self.framing = framing
        self.closes = closes
        self.date = date
    }

    /// Appends the head with its last empty line.
    ///
    /// `further` may append fields before that line, each with a CRLF in front, that are not worth a text.
    package func append(to output: inout [UInt8], further: (inout [UInt8]) -> Void = { _ in }) {
        precondition(framing != .untilClose || closes, "only the connection's end can end this body")
        StatusLine.append(status, to: &output)
        output.append(contentsOf: "Date: ".utf8)
        output.append(contentsOf: date)
        if let contentType {
            output.append(contentsOf: "\r\nContent-Type: ".utf8)
            Self.append(value: contentType, to: &output)
        }
        for (name, value) in fields {
            output.append(contentsOf: "\r\n".utf8)
            output.append(contentsOf: name.utf8)
            output.append(contentsOf: ": ".utf8)
            Self.append(value: value, to: &output)
        }
        switch framing {
        case .length(let count):
            output.append(contentsOf: "\r\nContent-Length: ".utf8)
            output.appendDecimal(count)
        case .chunked: output.append(contentsOf: "\r\nTransfer-Encoding: chunked".utf8)
        case .untilClose, .none: break
        }
        if closes {
            output.append(contentsOf: "\r\nConnection: close".utf8)
        } else if announcesKeepAlive {
            output.append(contentsOf: "\r\nConnection: keep-alive".utf8)
        }
        further(&output)
        output.append(contentsOf: "\r\n\r\n".utf8)
    }

    /// Appends the interim answer that lets a waiting client send its body.
    package static func appendContinue(to output: inout [UInt8]) {
        output.append(contentsOf: "HTTP/1.1 100 Continue\r\n\r\n".utf8)
    }

    /// A value may carry a client's words (`Location`), and these must not end the line.
    private static func append(value: String, to output: inout [UInt8]) {
        let start = output.count
        output.append(contentsOf: value.utf8)
        for index in start..<output.count where !ByteClass.contains(output[index], ByteClass.fieldValue) {
            output[index] = .space
        }
    }
}

/// The chunks of an answer whose length is not known beforehand (RFC 9112 7.1).
package enum ResponseChunk {
    /// Appends one chunk; nothing for no bytes, as the empty chunk is the end.
    package static func append(_ bytes: Span<UInt8>, to output: inout [UInt8]) {
        if bytes.isEmpty { return }
        appendHex(bytes.count, to: &output)
        output.append(contentsOf: "\r\n".utf8)
        output.append(copying: bytes)
        output.append(contentsOf: "\r\n".utf8)
    }

    /// Appends one chunk; nothing for no bytes.
    package static func append(_ bytes: [UInt8], to output: inout [UInt8]) { append(bytes.span, to: &output) }

    /// Appends the last chunk.
    package static func appendEnd(to output: inout [UInt8]) {
        output.append(contentsOf: "0\r\n\r\n".utf8)
    }

    private static func appendHex(_ value: Int, to output: inout [UInt8]) {
        let digits = max(1, (Int.bitWidth - value.leadingZeroBitCount + 3) / 4)
        for place in (0..<digits).reversed() { output.append(JSONWriter.hexDigit(value >> (place * 4) & 15)) }
    }
}
