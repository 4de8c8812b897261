import Crypto

/// What is known of a key; the key itself is not.
package struct APIKey: Equatable, Sendable {
    package let id: Int64
    /// For people.
    package var name: String
    package var scopes: Scopes
    /// The source of events that name none.
    package var source: String?
    /// The types of events that it may send; all when empty.
    package var types: [String]
    /// The web origins that pages may use it from, `*` for any.
    ///
    /// When empty, no page is stopped, and none is let see an answer.
    package var origins: [String]
    /// Events a second that it may send to one node in the long run; without limit when `nil`.
    package var rate: Double?
    /// Events that it may send at once on top.
    package var burst: Int

    package init(
        id: Int64,
        name: String,
        scopes: Scopes,
        source: String? = nil,
        types: [String] = [],
        origins: [String] = [],
        rate: Double? = nil,
        burst: Int = 0
    ) {
        self.id = id
        self.name = name
        self.scopes = scopes
        self.source = source
        self.types = types
        self.origins = origins
        self.rate = rate
        self.burst = burst
    }

    /// Whether it may be used by a page of this origin.
    func allows(origin: String) -> Bool { origins.isEmpty || shares(with: origin) }

    /// Whether a page of this origin may read the answers.
    func shares(with origin: String) -> Bool { origins.contains(origin) || origins.contains("*") }
}

/// A key's SHA-256: what is stored of it, and what it is found by.
///
/// Keys are 256 random bits, so that neither salt nor a slow hash would add anything.
package struct KeyDigest: Hashable, Sendable {
    package let bytes: [UInt8]

    /// The digest of the key as its owner presents it.
    package init(of key: [UInt8]) { bytes = Array(SHA256.hash(data: key)) }

    /// A stored digest; 32 bytes.
    package init?(stored bytes: [UInt8]) {
        guard bytes.count == SHA256Digest.byteCount else { return nil }
        self.bytes = bytes
    }

    /// Compares in a time that says nothing of where the two differ.
    package static func == (left: KeyDigest, right: KeyDigest) -> Bool {
        var difference: UInt8 = 0
        for (one, other) in zip(left.bytes, right.bytes) { difference |= one ^ other }
        return difference == 0
    }

    package func hash(into hasher: inout Hasher) {
        // Random already; eight bytes tell any two apart, and tell nobody the rest.
        for byte in bytes.prefix(8) { hasher.combine(byte) }
    }
}
