import Synchronization

/// Encoded events on their way to one client: put in from any loop, taken out by the client's connection.
///
/// Whoever makes events never waits for whoever reads them: beyond `countMax` the oldest are lost.
package final class EventQueue: Sendable {
    private struct State {
        var events: [[UInt8]] = []
        var wake: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())
    private let countMax: Int

    /// An empty queue that holds at most `countMax` events, 1 for "only the newest counts".
    package init(countMax: Int) {
        precondition(countMax >= 1, "a queue has room for an event")
        self.countMax = countMax
    }

    package var isEmpty: Bool { state.withLock { $0.events.isEmpty } }

    /// Adds an event, as ``ServerSentEvent`` encodes it.
    package func put(_ event: [UInt8]) {
        let wake = state.withLock { state in
            // One wake-up until they are taken.
            let wake = state.events.isEmpty ? state.wake : nil
            if state.events.count == countMax { state.events.removeFirst() }
            state.events.append(event)
            return wake
        }
        wake?()
    }

    /// All events that wait, the oldest first.
    package func take() -> [[UInt8]] {
        state.withLock { state in
            defer { state.events = [] }
            return state.events
        }
    }

    /// Calls `wake` when there is something to take; on the thread of who puts it in.
    func onNews(_ wake: @escaping @Sendable () -> Void) { state.withLock { $0.wake = wake } }
}
