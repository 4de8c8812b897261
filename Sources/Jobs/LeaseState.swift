/// Decides when a node beats, whether it has been fenced, and whether it may hold others for dead.
///
/// Holds no clock, connection or task. Each method takes what happened, and when (the time since any fixed
/// start); ``NodeLease`` does the rest. A node goes
///
///     held ─→ fenced          a beat found no row: others have buried this epoch
///     held ─→ left            it has stopped by itself
///
/// and never comes back under the same epoch. Only a node that has itself beaten without a gap for a whole
/// TTL may bury others: after an outage of the database everybody's row is old, and everybody needs a TTL to
/// renew it.
package struct LeaseState: Sendable {
    /// Where the lease is in its life.
    package enum Phase: Equatable, Sendable {
        /// The row is there, as far as is known.
        case held
        /// The row is gone; nothing that this epoch does counts any more.
        case fenced
        /// The node has buried itself.
        case left
    }

    package private(set) var phase = Phase.held
    /// When ``NodeLease`` beats next; `nil` when never again.
    package private(set) var nextBeat: Duration?
    private let limits: LeaseLimits
    /// When the unbroken row of beats began; `nil` after a gap, until the next beat.
    private var steadySince: Duration?
    /// The last beat that arrived.
    private var lastBeat: Duration

    /// The state of a node whose registration, its first beat, arrived at `now`.
    package init(limits: LeaseLimits, now: Duration) {
        precondition(limits.gapMax <= limits.ttl, "a gap is seen before the TTL has passed")
        self.limits = limits
        steadySince = now
        lastBeat = now
        nextBeat = now + limits.beat
    }

    /// Whether rows that are older than the TTL belong to the dead, rather than to an outage.
    package func mayReap(now: Duration) -> Bool {
        guard phase == .held, let steadySince else { return false }
        return now - lastBeat <= limits.gapMax && lastBeat - steadySince >= limits.ttl
    }

    /// A beat has renewed the row; its answer came at `now`.
    package mutating func beatArrived(now: Duration) {
        guard phase == .held else { return }
        if steadySince == nil || now - lastBeat > limits.gapMax { steadySince = now }
        lastBeat = now
        nextBeat = now + limits.beat
    }

    /// A beat got no answer, or an error: the row may or may not have been renewed.
    package mutating func beatFailed(now: Duration) {
        guard phase == .held else { return }
        steadySince = nil
        nextBeat = now + limits.retry
    }

    /// A beat found no row; returns whether that is news.
    package mutating func beatFoundNothing() -> Bool {
        guard phase == .held else { return false }
        phase = .fenced
        nextBeat = nil
        return true
    }

    /// The node stops; returns whether it is still there to be buried.
    package mutating func leave() -> Bool {
        guard phase == .held else { return false }
        phase = .left
        nextBeat = nil
        return true
    }
}
