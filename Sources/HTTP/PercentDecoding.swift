/// Why a path or a query is not text; the answer is 400.
package enum TargetError: Error, Equatable, Sendable {
    /// A `%` without two hex digits, at this byte of the path or query.
    case malformedEscape(offset: Int)
    /// U+0000, which no route, filter or database column holds.
    case nulCharacter(offset: Int)
    /// The part that begins here is not UTF-8 once decoded.
    case invalidUTF8(offset: Int)

    /// The status of the answer.
    package var status: Int { 400 }

    /// A stable word for the problem's `code`.
    package var code: String {
        switch self {
        case .malformedEscape: "malformed_escape"
        case .nulCharacter: "nul_character"
        case .invalidUTF8: "invalid_utf8"
        }
    }

    /// A sentence for the client's developer.
    package var detail: String {
        switch self {
        case .malformedEscape(let offset): "A \"%\" is not followed by two hex digits (byte \(offset))."
        case .nulCharacter(let offset): "U+0000 is not allowed (byte \(offset))."
        case .invalidUTF8(let offset): "The text that begins at byte \(offset) is not UTF-8."
        }
    }
}

/// Decodes `%XX` in `range` (RFC 3986 2.1), and `+` as a space where forms write it so.
func percentDecoded(
    _ bytes: Span<UInt8>,
    _ range: Range<Int>,
    plusIsSpace: Bool
) throws(TargetError) -> String {
    var index = range.lowerBound
    while index < range.upperBound, isPlain(bytes[index], plusIsSpace) { index += 1 }
    if index == range.upperBound { return try text(bytes, range) }

    var decoded: [UInt8] = []
    decoded.reserveCapacity(range.count)
    index = range.lowerBound
    while index < range.upperBound {
        var byte = bytes[index]
        var width = 1
        if byte == .percent {
            guard index + 2 < range.upperBound, let high = bytes[index + 1].hexValue,
                let low = bytes[index + 2].hexValue
            else { throw .malformedEscape(offset: index) }
            byte = UInt8(high << 4 | low)
            width = 3
        } else if byte == UInt8(ascii: "+"), plusIsSpace {
            byte = .space
        }
        if byte == 0 { throw .nulCharacter(offset: index) }
        decoded.append(byte)
        index += width
    }
    guard let text = String(validating: decoded, as: UTF8.self) else {
        throw .invalidUTF8(offset: range.lowerBound)
    }
    return text
}

private func isPlain(_ byte: UInt8, _ plusIsSpace: Bool) -> Bool {
    byte != .percent && byte != 0 && !(plusIsSpace && byte == UInt8(ascii: "+"))
}

/// The text of bytes that need no decoding: nearly all of them, and short ones need no allocation then.
private func text(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(TargetError) -> String {
    do throws(UTF8.ValidationError) {
        return String(copying: try UTF8Span(validating: bytes.extracting(range)))
    } catch {
        throw .invalidUTF8(offset: range.lowerBound)
    }
}

/// The decoded segments of a raw path: `/v1/events/a%20b` is `["v1", "events", "a b"]`, `/` is `[]`.
///
/// Empty segments stay (`/v1//events`, `/v1/events/`), so that they match no route. Dot segments are refused,
/// also as `%2e`, rather than removed: no client of an API sends them in good faith. So is an encoded `/`,
/// which somebody may have taken for a separator before, unless the caller keeps segments apart and wants
/// identifiers with slashes.
///
/// - Returns: `nil` for a path that must not reach a route: a broken escape, U+0000, not UTF-8, a dot
/// segment, `%2F`.
package func percentDecodedPath(_ path: Span<UInt8>, allowingEncodedSlash: Bool = false) -> [String]? {
    if path.isEmpty { return [] }
    guard path[0] == .slash else { return nil }
    if path.count == 1 { return [] }
    var segments: [String] = []
    var start = 1
    while start <= path.count {
        var end = start
        while end < path.count, path[end] != .slash { end += 1 }
        // The reason does not matter: no such path leads anywhere.
        guard let segment = try? percentDecoded(path, start..<end, plusIsSpace: false) else { return nil }
        if segment == "." || segment == ".." { return nil }
        if !allowingEncodedSlash, segment.utf8.contains(.slash) { return nil }
        segments.append(segment)
        start = end + 1
    }
    return segments
}
