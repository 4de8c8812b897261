import Synchronization

/// What the connections of all loops hold together, for the bounds of `HTTPLimits`.
///
/// Servers of one process share one: memory and descriptors belong to the process.
package final class ServerLoad: Sendable {
    private let connections = Atomic<Int>(0)
    private let bytes = Atomic<Int>(0)

    /// Nothing is held yet.
    package init() {}

    /// Connections that are open.
    package var openConnections: Int { connections.load(ordering: .relaxed) }

    /// Bytes of the connections' buffers and of bodies that are held whole.
    package var bufferedBytes: Int { bytes.load(ordering: .relaxed) }

    /// Counts one connection more, unless there are `max` already.
    func enter(max: Int) -> Bool {
        if connections.wrappingAdd(1, ordering: .relaxed).newValue <= max { return true }
        leave()
        return false
    }

    func leave() { connections.wrappingSubtract(1, ordering: .relaxed) }

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
