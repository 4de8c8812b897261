/// What a client prefers, out of an `Accept` field (RFC 9110 12.5.1).
///
/// Qualities are thousandths: 0 refuses, 1000 is the default. Elements that cannot be read are skipped, and a
/// field that is missing or empty accepts everything.
package struct AcceptedTypes: Equatable, Sendable {
    private let elements: [WeightedElement]

    /// Parses a field value.
    package init(_ bytes: Span<UInt8>) { elements = WeightedElement.parse(bytes) }

    /// How welcome a media type is: the most specific range that matches decides; parameters but `q` are
    /// ignored.
    package func quality(of essence: String) -> Int {
        if elements.isEmpty { return 1000 }
        let type = essence.prefix { $0 != "/" }
        return quality(essence) ?? quality("\(type)/*") ?? quality("*/*") ?? quality("*") ?? 0
    }

    /// The most welcome of `offers`, the earlier of equals; `nil` when all are refused.
    package func preferred(among offers: [String]) -> String? {
        var best: (offer: String, quality: Int)?
        for offer in offers {
            let quality = quality(of: offer)
            if quality > best?.quality ?? 0 { best = (offer, quality) }
        }
        return best?.offer
    }

    private func quality(_ range: String) -> Int? { elements.first { $0.name == range }?.quality }
}

/// A content coding of a request body (RFC 9110 8.4.1).
package enum ContentCoding: Equatable, Sendable {
    /// `gzip`, also as `x-gzip`.
    case gzip
    /// zlib's format; some clients send it raw.
    case deflate
    case identity
    /// Anything else: 415.
    case other

    /// The codings in the order in which they were applied; empty elements are skipped.
    package static func list(_ bytes: Span<UInt8>) -> [ContentCoding] {
        var codings: [ContentCoding] = []
        var cursor = ListCursor(0..<bytes.count)
        while let range = cursor.next(in: bytes) {
            if range.isEmpty { continue }
            if bytes.matches(range, lowercased: "gzip") || bytes.matches(range, lowercased: "x-gzip") {
                codings.append(.gzip)
            } else if bytes.matches(range, lowercased: "deflate") {
                codings.append(.deflate)
            } else {
                codings.append(bytes.matches(range, lowercased: "identity") ? .identity : .other)
            }
        }
        return codings
    }

    /// Whether an `Accept-Encoding` field asks for gzip (RFC 9110 12.5.3).
    package static func acceptsGzip(_ bytes: Span<UInt8>) -> Bool {
        let elements = WeightedElement.parse(bytes)
        let named =
            elements.first { $0.name == "gzip" || $0.name == "x-gzip" } ?? elements.first { $0.name == "*" }
        return (named?.quality ?? 0) > 0
    }
}

/// One element of a list with `q` weights (RFC 9110 12.4.2).
private struct WeightedElement: Equatable, Sendable {
    /// In lower case.
    let name: String
    let quality: Int

    static func parse(_ bytes: Span<UInt8>) -> [WeightedElement] {
        var elements: [WeightedElement] = []
        var cursor = ListCursor(0..<bytes.count)
        while let range = cursor.next(in: bytes) {
            var parts = ListCursor(range)
            guard let name = parts.next(in: bytes, separator: .semicolon), !name.isEmpty else { continue }
            var quality = 1000
            while let part = parts.next(in: bytes, separator: .semicolon) {
                guard let parameter = MediaType.parameter(bytes, part), parameter.name == "q" else {
                    continue
                }
                quality = thousandths(parameter.value) ?? 1000
            }
            elements.append(WeightedElement(name: MediaType.lowercased(bytes, name), quality: quality))
        }
        return elements
    }

    /// qvalue = "0" or "1" with up to three decimals.
    private static func thousandths(_ text: String) -> Int? {
        let bytes = Array(text.utf8)
        guard let first = bytes.first, let whole = first.digitValue, whole <= 1, bytes.count <= 5 else {
            return nil
        }
        guard bytes.count == 1 || bytes[1] == UInt8(ascii: ".") else { return nil }
        var (value, scale) = (whole * 1000, 100)
        for byte in bytes.dropFirst(2) {
            guard let digit = byte.digitValue else { return nil }
            value += digit * scale
            scale /= 10
        }
        return value <= 1000 ? value : nil
    }
}
