package import Server

/// What a key that is to be made shall be able to do, checked.
package struct NewKey: Equatable, Sendable {
    package var name: String
    package var scopes: Scopes
    package var source: String?
    package var types: [String]
    package var origins: [String]
    package var rate: Double?
    package var burst: Int

    package static let nameBytesMax = 100
    package static let sourceBytesMax = 1_024
    package static let typeBytesMax = 255
    package static let listMax = 100
    package static let rateMax = 1e9

    /// - Throws: ``KeyError/invalid(_:_:)`` for the first member that is not as it should be.
    package init(
        name: String,
        scopes: [String],
        source: String? = nil,
        types: [String] = [],
        origins: [String] = [],
        rate: Double? = nil,
        burst: Int? = nil
    ) throws(KeyError) {
        try Self.check("name", name, bytesMax: Self.nameBytesMax)
        guard let known = Scopes(names: scopes), !known.isEmpty else {
            throw .invalid("scopes", "one or more of write, read and admin")
        }
        if let source { try Self.check("source", source, bytesMax: Self.sourceBytesMax) }
        if types.count > Self.listMax { throw .invalid("types", "at most \(Self.listMax) types") }
        for type in types { try Self.check("types", type, bytesMax: Self.typeBytesMax) }
        if origins.count > Self.listMax { throw .invalid("origins", "at most \(Self.listMax) origins") }
        guard origins.allSatisfy(Self.isOrigin) else {
            throw .invalid("origins", "web origins like https://example.com, or * for all")
        }
        if let rate, !(rate > 0 && rate <= Self.rateMax) {
            throw .invalid("rate", "events a second, more than 0")
        }
        if let burst, !(0...1_000_000_000 ~= burst) { throw .invalid("burst", "a number of events") }
        self.name = name
        self.scopes = known
        self.source = source
        self.types = types
        self.origins = origins
        self.rate = rate
        self.burst = burst ?? 0
    }

    private static func check(_ member: String, _ text: String, bytesMax: Int) throws(KeyError) {
        guard 1...bytesMax ~= text.utf8.count, text.unicodeScalars.allSatisfy({ $0.value >= 0x20 }) else {
            throw .invalid(member, "text of 1 to \(bytesMax) bytes without control characters")
        }
    }

    /// As browsers send it: a scheme and an authority, nothing behind it (RFC 6454 6.2).
    private static func isOrigin(_ text: String) -> Bool {
        if text == "*" { return true }
        guard let scheme = ["https://", "http://"].first(where: { text.hasPrefix($0) }) else { return false }
        let authority = text.dropFirst(scheme.count)
        return 1...253 ~= authority.utf8.count
            && authority.utf8.allSatisfy { 0x21...0x7E ~= $0 && !"/?#@,".utf8.contains($0) }
            && text == text.lowercased()
    }
}

/// A key that has just been made: the only time that it is seen.
package struct MadeKey: Sendable {
    package let key: String
    package let digest: KeyDigest
    /// Its last characters, to tell keys apart.
    package let hint: String

    private static let prefix = "mr_"
    private static let alphabet = Array("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789")

    /// 43 characters of 57: 250 bits from the system's generator.
    package init() {
        var generator = SystemRandomNumberGenerator()
        let text = String((0..<43).map { _ in Self.alphabet.randomElement(using: &generator) ?? "A" })
        key = Self.prefix + text
        digest = KeyDigest(of: Array(key.utf8))
        hint = String(text.suffix(4))
    }
}

/// Why a key could not be made, found or revoked.
package enum KeyError: Error, Equatable, Sendable {
    /// A member of the request is not what it should be.
    case invalid(String, String)
    case notFound
    /// PostgreSQL did not answer.
    case unavailable(String)
}
