package import HTTP
import Reactor

/// Where a request comes from, as far as that can be known.
struct Client: Equatable, Sendable {
    let address: SocketAddress
    /// Whether it is on this machine, with nobody from elsewhere behind it.
    let isLocal: Bool
}

/// The proxies whose word about their clients is taken.
///
/// What anybody else says about others counts for nothing: a client could say anything.
package struct TrustedProxies: Equatable, Sendable {
    private let networks: [IPNetwork]
    private let trustsUnixSockets: Bool

    /// Proxies at these addresses, and those that connect to a Unix socket if `unixSockets`.
    package init(networks: [IPNetwork] = [], unixSockets: Bool = false) {
        self.networks = networks
        trustsUnixSockets = unixSockets
    }

    func contains(_ address: SocketAddress) -> Bool {
        guard let address = IPAddress(address) else { return trustsUnixSockets }
        return contains(address)
    }

    private func contains(_ address: IPAddress) -> Bool { networks.contains { $0.contains(address) } }

    /// Who has sent a request over a connection of `origin`.
    ///
    /// The proxies' list is followed from its end for as long as its entries are trusted themselves; the
    /// first that is not is the client. `Forwarded` (RFC 7239) and `X-Forwarded-For` have to say the same
    /// where both are there: a proxy that adds one may pass on the other as a client has made it up. When
    /// nothing is said, or nothing that can be read, the client is not known: the proxy's address stands for
    /// it, and it is not on this machine.
    func client(of origin: Client, _ head: RequestHead) -> Client {
        guard contains(origin.address) else { return origin }
        let unknown = Client(address: origin.address, isLocal: false)
        let named = head.list(.forwarded).map { lastUntrusted(of: ForwardedNode.forwarded($0.span) ?? []) }
        let namedFor = head.list(.forwardedFor).map { lastUntrusted(of: ForwardedNode.forwardedFor($0.span)) }
        // Where one field is not there, the other one counts.
        guard let found = named ?? namedFor ?? nil, (namedFor ?? found) == found else { return unknown }
        let address = SocketAddress(found, port: 0)
        return Client(address: address, isLocal: origin.isLocal && address.isLoopback)
    }

    /// The first node when all are trusted; `nil` when the way there leads past one that hides.
    private func lastUntrusted(of nodes: [ForwardedNode]) -> IPAddress? {
        var client: IPAddress?
        for node in nodes.reversed() {
            guard case .address(let address) = node else { return nil }
            client = address.unmapped
            if !contains(address) { return client }
        }
        return client
    }
}

extension IPAddress {
    /// `nil` for a Unix socket.
    init?(_ address: SocketAddress) {
        switch address {
        case .v4(let address, _): self = .v4(address)
        case .v6(let high, let low, _): self = .v6(high: high, low: low)
        case .local: return nil
        }
    }
}

extension SocketAddress {
    init(_ address: IPAddress, port: UInt16) {
        switch address {
        case .v4(let address): self = .v4(address: address, port: port)
        case .v6(let high, let low): self = .v6(high: high, low: low, port: port)
        }
    }
}
