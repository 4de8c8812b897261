/// Rejects whose events are stored after all, in one transaction that takes the rejects away.
struct Replay: Equatable, Sendable {
    let rejects: [ReplayedReject]
    /// Who replays them, for the audit trail.
    let actor: String
}

/// A reject as its row is found: by its partition and its number.
struct ReplayedReject: Equatable, Sendable {
    let n: Int64
    /// Microseconds since 1970.
    let receivedAt: Int64
    /// The key that it came with.
    var sender: Int64?
}

/// Why a replay has changed nothing although PostgreSQL could be asked.
package enum ReplayFault: Equatable, Sendable {
    /// Somebody else has replayed or deleted one of the rejects.
    case gone
    /// PostgreSQL does not take one of the events.
    case refused(sqlState: String)
}
