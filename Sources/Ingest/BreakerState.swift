import Reactor

/// How long the database is left alone after a failure.
package struct BreakerLimits: Sendable {
    /// First and longest pause before a probe; each is cut by up to half at random.
    package var pauseMin = Duration.milliseconds(100)
    package var pauseMax = Duration.seconds(5)
    /// One probe's answer.
    package var probe = Duration.seconds(5)

    package init() {}
}

/// Decides whether flushes are sent to the database, or spared the wait because it is away.
///
/// Holds no clock, connection or task. Only what says that the database as a whole cannot take events counts
/// as a failure, never the refusal of an event.
///
///     closed ──failed──▶ open ──pause over──▶ probing ──succeeded──▶ closed
///                          ▲                     │
///                          └───────failed────────┘
struct BreakerState: Sendable {
    enum Phase: Equatable, Sendable {
        /// Flushes are sent. To open.
        case closed
        /// Nothing is sent before the given time. To probing.
        case open(until: Deadline)
        /// One probe is under way, and nothing else is sent. To closed, or open.
        case probing
    }

    private(set) var phase: Phase
    /// Failures since a flush was last stored.
    private(set) var failures = 0
    private var backoff: Backoff

    /// A breaker that is closed; or open, with a probe due at once, when the database has not been met yet.
    init(limits: BreakerLimits, isOpen: Bool = false, seed: UInt64) {
        backoff = Backoff(from: limits.pauseMin, upTo: limits.pauseMax, seed: seed)
        phase = isOpen ? .open(until: Deadline(nanoseconds: 0)) : .closed
    }

    /// Whether flushes are sent.
    var isClosed: Bool { phase == .closed }

    /// When a probe is due; `nil` while none is needed, or one is under way.
    var nextProbe: Deadline? {
        if case .open(let until) = phase { until } else { nil }
    }

    /// A flush has found the database away.
    ///
    /// Those that were under way when it opened may say so later: nothing new.
    mutating func failed(at now: Deadline) {
        if phase == .closed { open(at: now) }
    }

    /// A flush was stored.
    ///
    /// Only now are earlier failures forgotten: a database may answer probes and take no event.
    mutating func stored() {
        if phase == .closed { failures = 0 }
    }

    /// A probe begins; `false` when none is due.
    mutating func beginProbe(at now: Deadline) -> Bool {
        guard let nextProbe, nextProbe <= now else { return false }
        phase = .probing
        return true
    }

    mutating func probeSucceeded() {
        if phase == .probing { phase = .closed }
    }

    mutating func probeFailed(at now: Deadline) {
        if phase == .probing { open(at: now) }
    }

    private mutating func open(at now: Deadline) {
        failures += 1
        phase = .open(until: now.advanced(by: backoff.pause(after: failures)))
    }
}
