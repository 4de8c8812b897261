extension RequestHead {
    /// Reads out of the fields how the message is framed and what becomes of the connection.
    ///
    /// These are the rules against request smuggling: where two readers could differ, the message is refused.
    mutating func interpret(_ input: Span<UInt8>) throws(RequestError) {
        try checkHost(input)
        keepsAlive = versionMinor >= 1
        if has(.connection) { readConnection(input) }
        if has(.transferEncoding) {
            try readTransferEncoding(input)
        } else if has(.contentLength) {
            try readContentLength(input)
        }
        if has(.expect) { try readExpect(input) }
    }

    /// RFC 9112 3.2: exactly one in HTTP/1.1, and a valid one in any version.
    ///
    /// The empty value is in the grammar.
    private func checkHost(_ input: Span<UInt8>) throws(RequestError) {
        guard let host = value(.host) else {
            if versionMinor >= 1 { throw .missingHost }
            return
        }
        guard host.isEmpty || HostSyntax.isValid(input, host, needsPort: false) else {
            throw .malformedHost(offset: host.lowerBound)
        }
    }

    /// RFC 9112 9.3: `close` wins; HTTP/1.0 needs `keep-alive` to stay.
    private mutating func readConnection(_ input: Span<UInt8>) {
        var (closes, keeps) = (false, false)
        forEachElement(of: .connection, in: input) { option in
            if input.matches(option, lowercased: "close") { closes = true }
            if input.matches(option, lowercased: "keep-alive") { keeps = true }
        }
        keepsAlive = !closes && (versionMinor >= 1 || keeps)
    }

    /// RFC 9112 6.1 and 6.3.
    private mutating func readTransferEncoding(_ input: Span<UInt8>) throws(RequestError) {
        if versionMinor == 0 { throw .transferEncodingInHTTP10 }
        if has(.contentLength) { throw .contentLengthWithTransferEncoding }
        var (isUnknown, chunked, offset) = (false, 0, value(.transferEncoding)?.lowerBound ?? 0)
        try forEachElement(of: .transferEncoding, in: input) { coding throws(RequestError) in
            offset = coding.lowerBound
            let isChunked = input.matches(coding, lowercased: "chunked")
            // A parameter or a quote is no part of any coding that is known here; a control byte never gets
            // this far.
            if !isChunked { isUnknown = true }
            // Nothing may follow it, itself least of all.
            if chunked > 0 || coding.isEmpty { throw .malformedTransferEncoding(offset: offset) }
            if isChunked { chunked += 1 }
        }
        if isUnknown { throw .unknownTransferCoding }
        if chunked == 0 { throw .malformedTransferEncoding(offset: offset) }
        framing = .chunked
    }

    /// RFC 9110 8.6: one number, or the same number again and again.
    private mutating func readContentLength(_ input: Span<UInt8>) throws(RequestError) {
        var length: Int?
        try forEachElement(of: .contentLength, in: input) { element throws(RequestError) in
            let number = try Self.decimal(input, element)
            if let length, length != number { throw .conflictingContentLengths }
            length = number
        }
        framing = length.map(BodyFraming.length) ?? .none
    }

    private static func decimal(_ input: Span<UInt8>, _ range: Range<Int>) throws(RequestError) -> Int {
        guard !range.isEmpty else { throw .malformedContentLength(offset: range.lowerBound) }
        var number = 0
        var isTooLarge = false
        for index in range {
            guard let digit = input[index].digitValue else { throw .malformedContentLength(offset: index) }
            let (product, overflow) = number.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(digit)
            isTooLarge = isTooLarge || overflow || carry
            number = sum
        }
        if isTooLarge { throw .contentLengthTooLarge }
        return number
    }

    /// RFC 9110 10.1.1: HTTP/1.0 clients do not mean it, and without a body there is nothing to wait for.
    private mutating func readExpect(_ input: Span<UInt8>) throws(RequestError) {
        if versionMinor == 0 { return }
        var expects = false
        try forEachElement(of: .expect, in: input) { expectation throws(RequestError) in
            if expectation.isEmpty { return }
            guard input.matches(expectation, lowercased: "100-continue") else { throw .unknownExpectation }
            expects = true
        }
        expectsContinue = expects && framing != .none && framing != .length(0)
    }

    /// Walks the list elements of all lines of a field, empty ones too.
    private func forEachElement<E: Error>(
        of name: KnownField,
        in input: Span<UInt8>,
        _ body: (Range<Int>) throws(E) -> Void
    ) throws(E) {
        for position in 0..<fieldCount where isLine(position, of: name) {
            var cursor = ListCursor(field(at: position).value, hasQuotes: false)
            while let element = cursor.next(in: input) { try body(element) }
        }
    }
}
