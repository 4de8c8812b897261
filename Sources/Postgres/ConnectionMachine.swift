import Reactor

/// Decides when a connection is made, used and given up; without a socket, clock or task.
///
/// ```
/// disconnected ──begin──▶ connecting ──connected──▶ ready ──started──▶ busy
///      ▲                      │                      │ ▲                │ │
///      │ pause over       failed│                  lost│ └───finished─────┘ │lost
///      └────── backingOff ◀─────┘◀────────────────────┴───────────────────┘
/// closed: from everywhere, for good
/// ```
struct ConnectionMachine: Sendable {
    enum State: Equatable, Sendable {
        /// No socket; an attempt may begin at once. To connecting.
        case disconnected
        /// An attempt is under way. To ready, or backingOff.
        case connecting
        /// A session without a query. To busy, or backingOff.
        case ready
        /// A query was sent and ReadyForQuery has not come. To ready, or backingOff.
        case busy
        /// No socket; no attempt before the given time. To connecting.
        case backingOff(until: Deadline)
        /// Given up by its owner; nothing follows.
        case closed
    }

    /// What a caller who needs a session has to do.
    enum Action: Equatable, Sendable {
        case useSession
        case connect
        case wait(until: Deadline)
        case refuse
    }

    private(set) var state = State.disconnected
    /// Attempts and sessions that failed since a query last succeeded.
    private(set) var failures = 0
    private var backoff: Backoff

    init(backoffMin: Duration, backoffMax: Duration, seed: UInt64) {
        backoff = Backoff(from: backoffMin, upTo: backoffMax, seed: seed)
    }

    /// What to do for a caller who wants a session at `now`.
    func action(at now: Deadline) -> Action {
        switch state {
        case .disconnected: .connect
        case .backingOff(let until): until <= now ? .connect : .wait(until: until)
        case .ready, .busy, .connecting: .useSession
        case .closed: .refuse
        }
    }

    /// An attempt begins; `false` when there is nothing to attempt.
    mutating func begin() -> Bool {
        switch state {
        case .disconnected, .backingOff:
            state = .connecting
            return true
        case .connecting, .ready, .busy, .closed: return false
        }
    }

    /// The attempt ended with a session; `false` when the owner gave up meanwhile.
    mutating func connected() -> Bool {
        guard state == .connecting else { return false }
        state = .ready
        return true
    }

    /// A query goes out; `false` when there is no session for it.
    mutating func started() -> Bool {
        guard state == .ready else { return false }
        state = .busy
        return true
    }

    /// ReadyForQuery came.
    ///
    /// Only now are earlier failures forgotten: a server may accept sessions and end each at once.
    mutating func finished() {
        guard state == .busy else { return }
        state = .ready
        failures = 0
    }

    /// The attempt failed or the session ended; the next one has to wait a while.
    ///
    /// A session that had worked is replaced at once, once: a server that restarts is back within
    /// milliseconds.
    mutating func lost(at now: Deadline) {
        switch state {
        case .ready, .busy, .connecting:
            let pausesNone = failures == 0 && state != .connecting
            failures += 1
            state =
                pausesNone
                ? .disconnected : .backingOff(until: now.advanced(by: backoff.pause(after: failures)))
        case .disconnected, .backingOff, .closed: break
        }
    }

    /// The owner is done with it.
    mutating func close() { state = .closed }
}
