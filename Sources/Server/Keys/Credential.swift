import Events
import HTTP

/// The key that a request presents, wherever it does: `Authorization: Bearer` or `Basic`, `X-API-Key`, or,
/// for sendBeacon, which can set no field, `?key=`.
enum Credential: Equatable {
    case absent
    /// As presented; to be hashed and forgotten.
    case key([UInt8])
    /// In the query, which ends up in logs and histories: good for sending events only.
    case queryKey([UInt8])
    /// There is something, but no key can be read out of it.
    case unreadable

    private static let bytesMax = 256

    init(_ head: RequestHead) {
        if let range = head.value(.authorization) {
            self = Self.authorization(head.bytes.span.extracting(range))
        } else if let range = head.value(.apiKey) {
            self = Self.key(head.bytes.span.extracting(range)).map(Credential.key) ?? .unreadable
        } else if let range = head.query {
            self = Self.query(head.bytes.span.extracting(range))
        } else {
            self = .absent
        }
    }

    private static func authorization(_ value: Span<UInt8>) -> Credential {
        guard let space = value.indices.first(where: { value[$0] == UInt8(ascii: " ") }) else {
            return .unreadable
        }
        let scheme = value.extracting(0..<space)
        var start = space
        while start < value.count, value[start] == UInt8(ascii: " ") { start += 1 }
        let rest = value.extracting(start..<value.count)
        if scheme.matches(lowercased: "bearer") { return key(rest).map(Credential.key) ?? .unreadable }
        guard scheme.matches(lowercased: "basic"), let pair = Base64.decode(rest) else { return .unreadable }
        // KEY:, as a user without a password; some clients leave the colon out.
        let user = Array(pair.prefix { $0 != UInt8(ascii: ":") })
        return key(user.span).map(Credential.key) ?? .unreadable
    }

    private static func query(_ query: Span<UInt8>) -> Credential {
        guard query.count >= 4, let items = try? QueryItems(query),
            let item = items.items.first(where: { $0.name == "key" })
        else { return .absent }
        return key(item.value.utf8.span).map(Credential.queryKey) ?? .unreadable
    }

    /// Printable ASCII of a sane length.
    private static func key(_ text: Span<UInt8>) -> [UInt8]? {
        guard 1...bytesMax ~= text.count else { return nil }
        let bytes = text.indices.map { text[$0] }
        return bytes.allSatisfy { 0x21...0x7E ~= $0 } ? bytes : nil
    }
}
