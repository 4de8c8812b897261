import Events
import HTTP

/// What became of one event.
package enum Verdict: Equatable, Sendable {
    case stored
    case duplicate
    /// PostgreSQL would not take it, for this SQLSTATE; it has been kept as a reject.
    case refused(sqlState: String)
    /// Durable in the spool; what it will be is decided when the database has it.
    case spooled
    /// Valid, but not kept: it came in an atomic request with one that was refused.
    case aborted
}

/// Why nothing could be said of a request's events; sending them again is right in every case.
package enum IngestError: Error, Equatable, Sendable {
    /// The queue is full.
    case overloaded
    /// PostgreSQL is away and the spool takes no more.
    case spoolFull
    /// PostgreSQL cannot be reached, or did not answer in time.
    case unavailable(String)
    /// PostgreSQL has refused the transaction for a reason that is no event's, with this SQLSTATE; it may
    /// never take it, and would take others.
    case refused(sqlState: String)
    /// This process was declared dead by the others and must not write any more.
    case fenced
    /// Nothing of a replay was stored, and all of its rejects are as they were.
    case replayUndone(ReplayFault)
}

/// The events of one request, or of one chunk of a streamed one, that go to one writer.
struct Submission: Sendable {
    let arena: EventArena
    let events: [PreparedEvent]
    /// Kept as rejects in the same transaction.
    let rejections: [Rejection]
    let requestID: RequestID
    /// Microseconds since 1970.
    let receivedAt: Int64
    /// Bytes of JSON as received, for the totals.
    let bytes: Int
    /// The key that it came with, for a fair share of the queue, and for its rejects.
    var sender: Int64?
    /// Kept with its rejects.
    var decoding = DecodingMode()
    /// The way in that it is counted by.
    var route = AccountRoute.events
    /// What a replay stores again; the events are these rejects, one each and in the same order.
    var replay: Replay?
    /// Whether its events are stored together, in a transaction of their own, or not at all.
    var isAtomic = false
    /// Valid events that are not kept because of the rejections, counted as rejected.
    var aborted = 0
    /// The trace that the request belongs to, as `traceparent`.
    var trace: String?

    /// Whether it shares its flush with no other.
    var isAlone: Bool { isAtomic || replay != nil }

    /// About what it occupies in memory and in a COPY, for limits.
    var weight: Int {
        // The bytes of a replay were counted when they came in.
        (replay == nil ? bytes : arena.bytes.count) + 128 * (events.count + rejections.count)
    }

    /// When the event was received: of a replayed one, when that was the first time.
    func receivedAt(of event: PreparedEvent) -> Int64 {
        replay?.rejects[event.record].receivedAt ?? receivedAt
    }

    /// The account of what is not an event's, and of its events if it is no replay.
    var account: Account { Account(receivedAt: receivedAt, route: route, sender: sender) }

    /// The account of an event: a replayed one is its key's who sent it, in the minute of the replay.
    func account(of event: PreparedEvent) -> Account {
        guard let replay else { return account }
        let sender = replay.rejects[event.record].sender
        return Account(receivedAt: receivedAt, route: route, sender: sender)
    }
}
