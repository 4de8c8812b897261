import Crypto

/// A place between two lines of an input's text, and what lies before it.
struct LinePosition: Equatable, Sendable {
    /// Lines before it, blank ones too; the last may lack its line feed where the text ended without one.
    var lines: Int
    /// Bytes before it, of the text: of a gzip file, once it is inflated.
    var bytes: Int
    /// Their SHA-256, in hexadecimal digits: another text of the same length is another text.
    var digest: String
}

/// Follows a text with the hash of what lies before its last whole line's end, and compares its beginning
/// with what it was before.
struct TextDigest: Sendable {
    enum Agreement: Sendable {
        /// The beginning has not been seen whole yet.
        case open
        case same
        case different
    }

    /// Whether the text begins as it did when the position was taken.
    private(set) var agreement: Agreement

    private let expected: LinePosition?
    /// Of all that was taken, and of it as far as its last line's end.
    private var all = SHA256()
    private var whole = SHA256()
    private var bytes = 0
    private var wholeBytes = 0

    /// - Parameter expected: where an earlier reading of the same text has come to.
    init(expecting expected: LinePosition?) {
        self.expected = expected
        agreement = expected == nil ? .same : .open
    }

    /// Takes the next bytes; the last line that ends in them ends at `linesEnd`, 0 when none does.
    mutating func take(_ text: ArraySlice<UInt8>, linesEnd: Int) {
        compare(text)
        let end = text.startIndex + linesEnd
        if linesEnd > 0 {
            all.update(data: text[..<end])
            whole = all
            wholeBytes = bytes + linesEnd
        }
        if end < text.endIndex { all.update(data: text[end...]) }
        bytes += text.count
    }

    /// The text has ended: its last line is whole without a line feed, too.
    mutating func takeEnd() {
        if agreement == .open { agreement = .different }
        whole = all
        wholeBytes = bytes
    }

    /// The end of the last whole line, which is the line of this number.
    func position(lines: Int) -> LinePosition {
        LinePosition(lines: lines, bytes: wholeBytes, digest: whole.finalize().hexadecimal)
    }

    private mutating func compare(_ text: ArraySlice<UInt8>) {
        guard agreement == .open, let expected, bytes + text.count >= expected.bytes else { return }
        var beginning = all
        beginning.update(data: text.prefix(expected.bytes - bytes))
        agreement = beginning.finalize().hexadecimal == expected.digest ? .same : .different
    }
}

extension SHA256Digest {
    /// As sha256sum(1) writes it.
    var hexadecimal: String {
        String(
            decoding: flatMap { byte in [byte >> 4, byte & 15].map { $0 + ($0 < 10 ? 48 : 87) } },
            as: UTF8.self
        )
    }
}
