import Server

/// How a request's events were decoded, kept with its rejects: a replay decodes them the same.
struct DecodingMode: Equatable, Sendable {
    /// Whether every MUST of CloudEvents was enforced.
    var isStrict = false
    /// The source of events that name none, which the key gives; `nil` for `/`.
    var defaultSource: String?

    /// Lenient, for a request without a key.
    init() {}

    init(isStrict: Bool, defaultSource: String?) {
        self.isStrict = isStrict
        self.defaultSource = defaultSource
    }

    /// The mode of a request that came with `key`.
    init(isStrict: Bool, key: APIKey?) {
        self.init(isStrict: isStrict, defaultSource: key?.source)
    }
}
