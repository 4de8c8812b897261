/// What a key may be used for.
package struct Scopes: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Sending events.
    package static let write = Scopes(rawValue: 1)
    /// Reading events and statistics.
    package static let read = Scopes(rawValue: 2)
    /// Keys, and whatever else changes the installation.
    package static let admin = Scopes(rawValue: 4)

    private static let named: [(String, Scopes)] = [("write", .write), ("read", .read), ("admin", .admin)]

    /// The scopes of these names; `nil` if one is not known.
    package init?(names: [String]) {
        self = []
        for name in names {
            guard let scope = Self.named.first(where: { $0.0 == name }) else { return nil }
            insert(scope.1)
        }
    }

    package var names: [String] { Self.named.filter { contains($0.1) }.map(\.0) }
}

/// Who may use a route.
package enum Access: Equatable, Sendable {
    /// Everybody who is let in at all: there is nothing to learn and nothing to change.
    case anyone
    /// Who has a key with this scope, once there are keys.
    case scope(Scopes)
}
