import CSystem
import Glibc

/// An IPv4 or IPv6 address with its port, or the nameless end of a Unix socket.
package enum SocketAddress: Hashable, Sendable, CustomStringConvertible {
    case v4(address: UInt32, port: UInt16)
    case v6(high: UInt64, low: UInt64, port: UInt16)
    case local

    package var port: UInt16 {
        switch self {
        case .v4(_, let port), .v6(_, _, let port): port
        case .local: 0
        }
    }

    /// Whether only this machine can have sent it: 127.0.0.0/8, ::1, the IPv4-mapped form of the first, or
    /// local.
    package var isLoopback: Bool {
        switch self {
        case .v4(let address, _): address >> 24 == 127
        case .v6(0, 1, _): true
        case .v6(0, let low, _): low >> 32 == 0xFFFF && (low >> 24) & 0xFF == 127
        case .v6: false
        case .local: true
        }
    }

    /// The address without its port, an IPv6 one in brackets.
    package var host: String {
        switch self {
        case .v4(let address, _):
            return "\(address >> 24).\(address >> 16 & 255).\(address >> 8 & 255).\(address & 255)"
        case .v6(let high, let low, _):
            var bytes = in6_addr()
            withUnsafeMutableBytes(of: &bytes) { raw in
                raw.storeBytes(of: high.bigEndian, as: UInt64.self)
                raw.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
            _ = inet_ntop(AF_INET6, &bytes, &text, socklen_t(text.count))
            return "["
                + String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) + "]"
        case .local:
            return "local"
        }
    }

    /// Without a port that is not known.
    package var description: String { port == 0 ? host : "\(host):\(port)" }

    /// Reads what the kernel has written; an unknown family counts as an address from elsewhere.
    init(_ storage: sockaddr_storage) {
        self = withUnsafeBytes(of: storage) { raw in
            switch CInt(storage.ss_family) {
            case AF_INET:
                let address = raw.loadUnaligned(as: sockaddr_in.self)
                return .v4(
                    address: UInt32(bigEndian: address.sin_addr.s_addr),
                    port: UInt16(bigEndian: address.sin_port)
                )
            case AF_INET6:
                let port = raw.loadUnaligned(as: sockaddr_in6.self).sin6_port
                // The address starts at byte 8 of sockaddr_in6 (ipv6(7)).
                let high = raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
                let low = raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
                return .v6(
                    high: UInt64(bigEndian: high),
                    low: UInt64(bigEndian: low),
                    port: UInt16(bigEndian: port)
                )
            case AF_UNIX: return .local
            default: return .v4(address: 0, port: 0)
            }
        }
    }
}

/// Turns a host name and port into something to bind or connect to, the first that the resolver offers.
///
/// - Throws: ``SystemError`` with `EADDRNOTAVAIL` when the name cannot be resolved.
func resolve(host: String, port: UInt16) throws(SystemError) -> (storage: sockaddr_storage, length: socklen_t)
{
    var hints = addrinfo()
    hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
    let name = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
    var found: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(name, "\(port)", &hints, &found) == 0, let first = found else {
        throw SystemError(call: "getaddrinfo", code: EADDRNOTAVAIL)
    }
    defer { freeaddrinfo(found) }
    var storage = sockaddr_storage()
    withUnsafeMutableBytes(of: &storage) { raw in
        raw.copyMemory(
            from: UnsafeRawBufferPointer(start: first.pointee.ai_addr, count: Int(first.pointee.ai_addrlen))
        )
    }
    return (storage, first.pointee.ai_addrlen)
}

/// Lends a socket address in the form that the kernel's calls take.
func withSocketAddress<R>(
    _ storage: inout sockaddr_storage,
    _ body: (UnsafeMutablePointer<sockaddr>) -> R
) -> R {
    withUnsafeMutablePointer(to: &storage) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1, body)
    }
}
