import Reactor

/// What a server listens on: an address, or `unix:` and a path.
enum ListenTarget: Hashable, Sendable, CustomStringConvertible {
    case tcp(ListenAddress)
    case unix(path: String)

    static let pathBytesMax = SocketAddress.pathBytesMax

    /// Reads `host:port`, `[address]:port` or `unix:path`; `nil` for anything else.
    init?(_ text: String) {
        if text.hasPrefix(Self.scheme) {
            let path = String(text.dropFirst(Self.scheme.count))
            guard 1...Self.pathBytesMax ~= path.utf8.count, !path.utf8.contains(0) else { return nil }
            self = .unix(path: path)
            return
        }
        guard let address = ListenAddress(text) else { return nil }
        self = .tcp(address)
    }

    private static let scheme = "unix:"

    var description: String {
        switch self {
        case .tcp(let address): address.description
        case .unix(let path): Self.scheme + path
        }
    }
}
