package import Reactor

/// Whose connections are counted together.
///
/// One IPv4 address, however it is written, or one IPv6 network of 64 bits: that much a single customer has
/// (RFC 6177), who could come from another address each time.
package enum ClientNetwork: Hashable, Sendable {
    case v4(UInt32)
    case v6(UInt64)
    case local

    package init(_ peer: SocketAddress) {
        switch peer {
        case .v4(let address, _): self = .v4(address)
        // ::ffff:a.b.c.d, which a listener for both families sees.
        case .v6(0, let low, _) where low >> 32 == 0xFFFF: self = .v4(UInt32(truncatingIfNeeded: low))
        case .v6(let high, _, _): self = .v6(high)
        case .local: self = .local
        }
    }
}
