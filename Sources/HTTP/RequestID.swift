/// What names a request in problems, logs and rejects: the client's own word, or a number made here.
///
/// Its text is made when it is asked for: most requests are never named.
package struct RequestID: Equatable, Sendable {
    private enum Source: Equatable, Sendable {
        case text(String)
        case number(UInt64)
    }

    package static let bytesMax = 128

    /// Tells the numbers of this process from those of others.
    private static let process = UInt64.random(in: 0...0xFFFF_FFFF)

    private let source: Source

    /// A text that is known to be sane.
    package init(_ text: String) { source = .text(text) }

    /// The request's number among all of this process.
    package init(number: UInt64) { source = .number(number) }

    /// A client's id; `nil` unless it is short and holds nothing that could confuse a log or a field.
    package init?(client bytes: Span<UInt8>) {
        guard Self.isValid(bytes) else { return nil }
        source = .text(String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self))
    }

    package static func isValid(_ bytes: Span<UInt8>) -> Bool {
        !bytes.isEmpty && bytes.count <= bytesMax
            && bytes.skip(ByteClass.requestID, in: 0..<bytes.count) == bytes.count
    }

    package var text: String {
        switch source {
        case .text(let text): text
        case .number(let number):
            Self.text(of: number)
        }
    }

    private static func text(of number: UInt64) -> String {
        var bytes: [UInt8] = []
        append(number, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends the field that names a request by its number, with a CRLF in front.
    ///
    /// The same text as ``text``, which every answer would otherwise allocate.
    package static func appendField(number: UInt64, to output: inout [UInt8]) {
        output.append(contentsOf: fieldStart)
        append(number, to: &output)
    }

    /// Appends the field with a client's id, which has to be valid.
    package static func appendField(client bytes: ArraySlice<UInt8>, to output: inout [UInt8]) {
        output.append(contentsOf: fieldStart)
        output.append(contentsOf: bytes)
    }

    private static let fieldStart = Array("\r\nX-Request-Id: ".utf8)
    private static let processDigits = {
        var digits: [UInt8] = []
        appendHex(process, to: &digits)
        return digits + [UInt8(ascii: "-")]
    }()

    private static func append(_ number: UInt64, to output: inout [UInt8]) {
        output.append(contentsOf: processDigits)
        appendHex(number, to: &output)
    }

    /// Eight digits at least.
    private static func appendHex(_ value: UInt64, to output: inout [UInt8]) {
        let digits = max(8, (UInt64.bitWidth - value.leadingZeroBitCount + 3) / 4)
        for place in (0..<digits).reversed() {
            output.append(JSONWriter.hexDigit(Int(truncatingIfNeeded: value >> UInt64(place * 4) & 15)))
        }
    }
}
