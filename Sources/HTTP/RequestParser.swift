/// The request's head, found in the bytes of a connection.
///
/// The target `HTTP` is HTTP/1.1 (RFC 9110, 9112) without any input or output: bytes in, values out. It
/// imports nothing.
///
///     bytes → RequestParser → RequestHead (framing) → BodyDecoder → body bytes
///     ResponseHead, ResponseChunk, JSONWriter, Problem → bytes
///
/// Here live the grammar, the framing and smuggling rules, the limits (``HTTPLimits``), and the small
/// syntaxes of fields and targets (media types, codings, percent-encoding, dates). Sockets, clocks, routes
/// and policies do not.
///
/// The parser is a state machine over single bytes, so the end of the input may fall anywhere, a byte is
/// looked at once whatever the size of the reads, and an error is the same wherever the input is cut:
///
///     emptyLine ⇄ emptyLineEnd
///         ↓
///     method → path → query → version → lineEnd → fieldStart ⇄ name → blank → value → valueEnd
///                                                      ↓
///                                                   headEnd → the head is complete
package struct RequestParser: Sendable {
    private enum Phase: UInt8 {
        /// At the start of a line that is empty or the request line.
        case emptyLine
        /// After the CR of an empty line.
        case emptyLineEnd
        case method
        case path
        case query
        /// In `HTTP/1.x` and its CR.
        case version
        /// After the CR of the request line.
        case lineEnd
        /// At the start of a field line or of the last, empty line.
        case fieldStart
        case name
        /// In the whitespace before a value.
        case blank
        case value
        /// After the CR of a field line.
        case valueEnd
        /// After the CR of the last line.
        case headEnd
    }

    private static let methodBytesMax = 32

    private let headBytesMax: Int
    private let targetBytesMax: Int
    private let fieldsMax: Int
    private let emptyLinesMax: Int

    /// How many bytes of the input have been looked at; none of them is again.
    package private(set) var scanned = 0
    private var phase = Phase.emptyLine
    private var emptyLines = 0
    /// Where the method, target, version or field name begins.
    private var start = 0
    private var pathEnd = 0
    private var nameEnd = 0
    private var value = 0..<0

    /// A parser for the requests of one connection, one after the other.
    package init(limits: HTTPLimits) {
        precondition(limits.headBytesMax < 1 << 31, "a head is addressed with 32 bits")
        precondition(limits.fieldsMax < 1 << 16, "fields are numbered with 16 bits")
        headBytesMax = limits.headBytesMax
        targetBytesMax = limits.targetBytesMax
        fieldsMax = limits.fieldsMax
        emptyLinesMax = limits.emptyLinesMax
    }

    /// Looks at what is new in `input` and returns the length of the head once it is complete.
    ///
    /// `input` begins with the same byte in all calls for one request, and `head` is the same value. After an
    /// error the parser is of no further use: the connection closes.
    ///
    /// - Returns: `nil` when the head is not complete; call again with more bytes. Else the bytes to consume;
    /// the parser is then ready for the next request.
    package mutating func parse(
        _ input: Span<UInt8>,
        into head: inout RequestHead
    ) throws(RequestError) -> Int? {
        precondition(scanned <= input.count, "the input must begin with the bytes of the earlier calls")
        if scanned == 0 { head.removeAll(keepingCapacity: true) }
        do throws(RequestError) {
            guard try scan(input, end: min(input.count, headBytesMax), into: &head) else {
                if input.count >= headBytesMax { throw .headTooLarge(limit: headBytesMax) }
                return nil
            }
            try head.interpret(input)
        } catch {
            // Nobody shall read ranges of a head that was never completed.
            head.removeAll(keepingCapacity: true)
            throw error
        }
        head.bytes.append(copying: input.extracting(0..<scanned))
        let consumed = scanned
        (scanned, phase, emptyLines) = (0, .emptyLine, 0)
        return consumed
    }

    /// Runs the state machine up to `end`; `true` when the head is complete.
    private mutating func scan(
        _ input: Span<UInt8>,
        end: Int,
        into head: inout RequestHead
    ) throws(RequestError) -> Bool {
        while scanned < end {
            switch phase {
            case .emptyLine: beginLine(input)
            case .emptyLineEnd: try endEmptyLine(input)
            case .method: try scanMethod(input, end: end, into: &head)
            case .path, .query: try scanTarget(input, end: end, into: &head)
            case .version: try scanVersion(input, end: end)
            case .lineEnd: try endRequestLine(input, into: &head)
            case .fieldStart: try beginField(input)
            case .name: try scanName(input, end: end)
            case .blank: skipBlank(input, end: end)
            case .value: try scanValue(input, end: end)
            case .valueEnd: try endField(input, into: &head)
            case .headEnd:
                try expectLineFeed(input)
                return true
            }
        }
        return false
    }

    // MARK: The request line

    /// RFC 9112 2.2: empty lines before the request line are ignored, but not without end.
    private mutating func beginLine(_ input: Span<UInt8>) {
        if input[scanned] == .carriageReturn {
            phase = .emptyLineEnd
            scanned += 1
        } else {
            phase = .method
            start = scanned
        }
    }

    private mutating func endEmptyLine(_ input: Span<UInt8>) throws(RequestError) {
        emptyLines += 1
        guard input[scanned] == .lineFeed else { throw .malformedRequestLine(offset: scanned) }
        if emptyLines > emptyLinesMax { throw .tooManyEmptyLines(limit: emptyLinesMax) }
        scanned += 1
        phase = .emptyLine
    }

    private mutating func scanMethod(
        _ input: Span<UInt8>,
        end: Int,
        into head: inout RequestHead
    ) throws(RequestError) {
        scanned = input.skip(ByteClass.token, in: scanned..<end)
        // RFC 9112 3: a method longer than any that the server implements is answered with 501.
        if scanned - start > Self.methodBytesMax { throw .methodTooLong }
        if scanned == end { return }
        guard input[scanned] == .space, scanned > start else { throw .malformedRequestLine(offset: scanned) }
        head.methodRange = start..<scanned
        head.method = Method(input, start..<scanned)
        scanned += 1
        start = scanned
        phase = .path
    }

    private mutating func scanTarget(
        _ input: Span<UInt8>,
        end: Int,
        into head: inout RequestHead
    ) throws(RequestError) {
        scanned = input.skip(phase == .path ? ByteClass.path : ByteClass.query, in: scanned..<end)
        if scanned - start > targetBytesMax { throw .targetTooLong(limit: targetBytesMax) }
        if scanned == end { return }
        switch (input[scanned], phase) {
        case (.questionMark, .path):
            pathEnd = scanned
            phase = .query
        case (.space, _) where scanned > start:
            head.target = start..<scanned
            head.path = start..<(phase == .path ? scanned : pathEnd)
            head.query = phase == .path ? nil : pathEnd + 1..<scanned
            start = scanned + 1
            phase = .version
        case (.space, _), (.carriageReturn, _), (.lineFeed, _): throw .malformedRequestLine(offset: scanned)
        default: throw .malformedTarget(offset: scanned)
        }
        scanned += 1
    }

    private static let version: InlineArray<9, UInt8> = [
        0x48, 0x54, 0x54, 0x50, 0x2F, 0x30, 0x2E, 0x30, 0x0D,  // "HTTP/0.0" CR
    ]

    /// RFC 9112 2.3: HTTP-version = "HTTP/" DIGIT "." DIGIT, in upper case.
    private mutating func scanVersion(_ input: Span<UInt8>, end: Int) throws(RequestError) {
        while scanned < end {
            let expected = Self.version[scanned - start]
            let byte = input[scanned]
            guard byte == expected || expected == 0x30 && byte.digitValue != nil else {
                throw .malformedRequestLine(offset: scanned)
            }
            scanned += 1
            if expected == .carriageReturn {
                phase = .lineEnd
                return
            }
        }
    }

    private mutating func endRequestLine(
        _ input: Span<UInt8>,
        into head: inout RequestHead
    ) throws(RequestError) {
        try expectLineFeed(input)
        let major = Int(input[start + 5] - 0x30)
        guard major == 1 else { throw .unsupportedVersion(major: major) }
        // A higher minor version is spoken to as 1.1 (RFC 9110 2.5).
        head.versionMinor = Int(input[start + 7] - 0x30)
        try head.resolveTarget(input)
        phase = .fieldStart
    }

    // MARK: Field lines

    private mutating func beginField(_ input: Span<UInt8>) throws(RequestError) {
        let byte = input[scanned]
        if byte == .carriageReturn {
            phase = .headEnd
            scanned += 1
            return
        }
        // RFC 9112 5.2 (obs-fold) and 2.2 (whitespace before the first field): refused.
        if byte.isBlank { throw .foldedField(offset: scanned) }
        start = scanned
        phase = .name
    }

    private mutating func scanName(_ input: Span<UInt8>, end: Int) throws(RequestError) {
        scanned = input.skip(ByteClass.token, in: scanned..<end)
        if scanned == end { return }
        guard input[scanned] == .colon, scanned > start else {
            // RFC 9112 5.1: whitespace before the colon has fooled proxies, so it must be refused.
            if input[scanned].isBlank { throw .spaceBeforeColon(offset: scanned) }
            throw .malformedField(offset: scanned)
        }
        nameEnd = scanned
        scanned += 1
        phase = .blank
    }

    private mutating func skipBlank(_ input: Span<UInt8>, end: Int) {
        while scanned < end, input[scanned].isBlank { scanned += 1 }
        if scanned == end { return }
        value = scanned..<scanned
        phase = .value
    }

    private mutating func scanValue(_ input: Span<UInt8>, end: Int) throws(RequestError) {
        scanned = input.skip(ByteClass.fieldValue, in: scanned..<end)
        if scanned == end { return }
        guard input[scanned] == .carriageReturn else { throw .malformedField(offset: scanned) }
        value = input.trimmed(value.lowerBound..<scanned)
        scanned += 1
        phase = .valueEnd
    }

    private mutating func endField(
        _ input: Span<UInt8>,
        into head: inout RequestHead
    ) throws(RequestError) {
        try expectLineFeed(input)
        if head.fieldCount == fieldsMax { throw .tooManyFields(limit: fieldsMax) }
        try head.append(name: start..<nameEnd, value: value, in: input)
        phase = .fieldStart
    }

    /// A CR is followed by LF or the message is refused (RFC 9112 2.2).
    private mutating func expectLineFeed(_ input: Span<UInt8>) throws(RequestError) {
        guard input[scanned] == .lineFeed else { throw .malformedField(offset: scanned) }
        scanned += 1
    }
}
