import HTTP

/// An answer of a server, whole.
struct HTTPResponse: Equatable, Sendable {
    struct Field: Equatable, Sendable {
        /// In lower case.
        let name: String
        let value: String
    }

    var status = 0
    var fields: [Field] = []
    var body: [UInt8] = []
    /// Whether another request may follow on the same connection.
    var keepsAlive = true

    /// The value of the first field with this name.
    func value(of lowercased: String) -> String? { fields.first { $0.name == lowercased }?.value }
}

/// Why an answer cannot be understood.
enum ResponseError: Error, Equatable, Sendable, CustomStringConvertible {
    case malformedHead(line: Int)
    case malformedBody
    case headTooLarge
    case bodyTooLarge
    /// The connection ended in the middle of it.
    case cutShort

    var description: String {
        switch self {
        case .malformedHead(let line): "line \(line) of the answer's head is malformed"
        case .malformedBody: "the answer's body is malformed"
        case .headTooLarge: "the answer's head is too large"
        case .bodyTooLarge: "the answer is too large"
        case .cutShort: "the connection ended in the middle of the answer"
        }
    }
}

/// Reads one answer out of the bytes of a connection, whatever the cuts between reads (RFC 9112 4 to 6).
///
/// Interim answers (1xx) are skipped. No bytes are looked at twice.
struct ResponseParser: Sendable {
    private enum Phase: Sendable {
        case head
        case body(BodyDecoder)
        /// Neither a length nor the chunked coding: the end of the connection is the end of the body.
        case untilClose
        case complete
    }

    static let headBytesMax = 64 << 10
    static let bodyBytesMax = 64 << 20

    private(set) var response = HTTPResponse()
    private var phase = Phase.head
    private var line: [UInt8] = []
    private var lines = 0
    private var headBytes = 0

    var isComplete: Bool {
        if case .complete = phase { return true }
        return false
    }

    /// Takes what belongs to the answer from the front of `input`.
    ///
    /// - Returns: How many bytes it took: all, unless the answer ended before.
    mutating func take(_ input: Span<UInt8>) throws(ResponseError) -> Int {
        var index = 0
        while index < input.count {
            switch phase {
            case .complete: return index
            case .head:
                try take(headByte: input[index])
                index += 1
            case .body(var decoder):
                index += try take(body: input.extracting(index..<input.count), &decoder)
                phase = decoder.isComplete ? .complete : .body(decoder)
            case .untilClose:
                if response.body.count + input.count - index > Self.bodyBytesMax { throw .bodyTooLarge }
                while index < input.count {
                    response.body.append(input[index])
                    index += 1
                }
            }
        }
        return index
    }

    /// The connection has ended.
    mutating func takeEnd() throws(ResponseError) {
        switch phase {
        case .complete, .untilClose: phase = .complete
        case .head, .body: throw .cutShort
        }
    }

    private mutating func take(
        body input: Span<UInt8>,
        _ decoder: inout BodyDecoder
    ) throws(ResponseError) -> Int {
        do throws(RequestError) {
            return try decoder.decode(input, into: &response.body)
        } catch {
            if case .bodyTooLarge = error { throw .bodyTooLarge }
            throw .malformedBody
        }
    }

    // MARK: Head

    private mutating func take(headByte byte: UInt8) throws(ResponseError) {
        headBytes += 1
        if headBytes > Self.headBytesMax { throw .headTooLarge }
        if byte != UInt8(ascii: "\n") {
            line.append(byte)
            return
        }
        // A lone LF ends a line, too (RFC 9112 2.2).
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        defer { line.removeAll(keepingCapacity: true) }
        if line.isEmpty, lines == 0 { return }
        lines += 1
        if lines == 1 {
            try takeStatusLine()
        } else if line.isEmpty {
            try endHead()
        } else {
            try takeField()
        }
    }

    /// `HTTP/1.1 200 OK`; the reason may be missing.
    private mutating func takeStatusLine() throws(ResponseError) {
        let text = String(decoding: line, as: UTF8.self)
        let parts = text.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, parts[0] == "HTTP/1.1" || parts[0] == "HTTP/1.0", parts[1].utf8.count == 3,
            let status = UInt16(parts[1]), 100...599 ~= status
        else { throw .malformedHead(line: lines) }
        response.status = Int(status)
        response.keepsAlive = parts[0] == "HTTP/1.1"
    }

    private mutating func takeField() throws(ResponseError) {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0,
            line[..<colon].allSatisfy({ 0x21...0x7E ~= $0 })
        else { throw .malformedHead(line: lines) }
        let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
        let value = String(decoding: line[(colon + 1)...], as: UTF8.self)[...].trimmed
        response.fields.append(HTTPResponse.Field(name: name, value: String(value)))
    }

    private mutating func endHead() throws(ResponseError) {
        if response.status < 200 {
            self = ResponseParser()
            return
        }
        for token in tokens(of: "connection") {
            if token == "close" { response.keepsAlive = false }
            if token == "keep-alive" { response.keepsAlive = true }
        }
        if response.status == 204 || response.status == 304 {
            phase = .complete
        } else if let coding = tokens(of: "transfer-encoding").last {
            phase = coding == "chunked" ? body(.chunked) : untilClose()
        } else if let length = try contentLength() {
            phase = length == 0 ? .complete : body(.length(length))
        } else {
            phase = untilClose()
        }
    }

    private func body(_ framing: BodyFraming) -> Phase {
        .body(BodyDecoder(framing, limits: HTTPLimits(), bodyBytesMax: Self.bodyBytesMax))
    }

    private mutating func untilClose() -> Phase {
        response.keepsAlive = false
        return .untilClose
    }

    private func contentLength() throws(ResponseError) -> Int? {
        let lengths = tokens(of: "content-length")
        guard let first = lengths.first else { return nil }
        // Equal repetitions are one length, different ones are an attack or a bug (RFC 9112 6.3).
        guard lengths.allSatisfy({ $0 == first }), first.utf8.allSatisfy({ 0x30...0x39 ~= $0 }),
            let length = Int(first)
        else { throw .malformedHead(line: lines) }
        if length > Self.bodyBytesMax { throw .bodyTooLarge }
        return length
    }

    private func tokens(of name: String) -> [String] {
        response.fields.filter { $0.name == name }
            .flatMap { $0.value.split(separator: ",", omittingEmptySubsequences: false) }
            .map { $0.trimmed.lowercased() }
    }
}
