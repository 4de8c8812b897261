import Synchronization

/// Gives each event to everybody who listens, on whichever loop their connections live.
package final class EventHub: Sendable {
    private struct State {
        var queues: [UInt64: EventQueue] = [:]
        var numbers: UInt64 = 0
    }

    private let state = Mutex(State())
    private let listenersMax: Int
    private let queuedMax: Int

    /// A hub without listeners; each of at most `listenersMax` is as many as `queuedMax` events behind before
    /// it loses the oldest.
    package init(listenersMax: Int, queuedMax: Int) {
        self.listenersMax = listenersMax
        self.queuedMax = queuedMax
    }

    /// How many listen now.
    package var listeners: Int { state.withLock { $0.queues.count } }

    /// Begins to listen; `nil` when as many listen already as may.
    package func listen() -> EventListener? {
        let queue = EventQueue(countMax: queuedMax)
        let number: UInt64? = state.withLock { state in
            guard state.queues.count < listenersMax else { return nil }
            state.numbers += 1
            state.queues[state.numbers] = queue
            return state.numbers
        }
        return number.map { EventListener(hub: self, number: $0, queue: queue) }
    }

    /// Gives an event, as ``ServerSentEvent`` encodes it, to all who listen now.
    package func send(_ event: [UInt8]) {
        let queues = state.withLock { Array($0.queues.values) }
        for queue in queues { queue.put(event) }
    }

    fileprivate func leave(_ number: UInt64) { state.withLock { $0.queues[number] = nil } }
}

/// One who listens, for as long as somebody holds this.
///
/// Its answer does; so an answer that never begins, or breaks, gives the place back like one that ends.
package final class EventListener: Sendable {
    package let queue: EventQueue
    private let hub: EventHub
    private let number: UInt64

    fileprivate init(hub: EventHub, number: UInt64, queue: EventQueue) {
        self.hub = hub
        self.number = number
        self.queue = queue
    }

    deinit { hub.leave(number) }
}
