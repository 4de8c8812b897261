import HTTP
import Reactor
import Synchronization

/// What the connections of all loops hold together, for the bounds of `HTTPLimits`.
///
/// Servers of one process share one: memory and descriptors belong to the process.
package final class ServerLoad: Sendable {
    private let connections = Atomic<Int>(0)
    private let bytes = Atomic<Int>(0)
    /// Connections by where they come from; empty while there is no bound for these.
    private let networks = Mutex<[ClientNetwork: Int]>([:])

    /// Nothing is held yet.
    package init() {}

    /// Connections that are open.
    package var openConnections: Int { connections.load(ordering: .relaxed) }

    /// Bytes of the connections' buffers and of bodies that are held whole.
    package var bufferedBytes: Int { bytes.load(ordering: .relaxed) }

    /// Counts one connection more; `false` when there are as many as may be.
    func enter(_ limits: HTTPLimits) -> Bool {
        if connections.wrappingAdd(1, ordering: .relaxed).newValue <= limits.connectionsMax { return true }
        leave()
        return false
    }

    /// Counts one connection less.
    func leave() { connections.wrappingSubtract(1, ordering: .relaxed) }

    /// Counts one connection more of that address; `false` when it has as many as it may.
    func enter(from peer: SocketAddress, _ limits: HTTPLimits) -> Bool {
        let max = limits.connectionsPerAddressMax
        if max == 0 { return true }
        let network = ClientNetwork(peer)
        return networks.withLock { networks in
            let open = networks[network, default: 0]
            if open >= max { return false }
            networks[network] = open + 1
            return true
        }
    }

    /// Counts one connection less, which ``enter(from:_:)`` has let in with the same limits.
    func leave(from peer: SocketAddress, _ limits: HTTPLimits) {
        if limits.connectionsPerAddressMax == 0 { return }
        let network = ClientNetwork(peer)
        networks.withLock { networks in
            let left = networks[network, default: 0] - 1
            // Clients come and go; those without connections are forgotten.
            networks[network] = left > 0 ? left : nil
        }
    }

    /// Counts `count` bytes more, unless that makes more than `max`.
    func take(_ count: Int, max: Int) -> Bool {
        if bytes.wrappingAdd(count, ordering: .relaxed).newValue <= max { return true }
        give(count)
        return false
    }

    /// Counts `count` bytes more, which are held in any case.
    func add(_ count: Int) { bytes.wrappingAdd(count, ordering: .relaxed) }

    func give(_ count: Int) { bytes.wrappingSubtract(count, ordering: .relaxed) }
}
