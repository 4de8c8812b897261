import Events
import Reactor
import Spool

/// How the write path uses a spool.
package struct DiversionLimits: Sendable {
    package var breaker = BreakerLimits()
    /// How long a flush tries to connect before its events go to the spool.
    package var reconnectPatience = Duration.seconds(1)
    /// How long a flush is tried as a whole.
    package var flushTimeout = Duration.seconds(5)
    /// Events and bytes of one transaction that drains.
    package var drainEventsMax = 2_000
    package var drainBytesMax = 1 << 20
    /// How often a record is tried that PostgreSQL refuses before those behind it are let past.
    package var refusalsMax = 3
    /// Before a record that was let past is tried again.
    package var withheldRetry = Duration.seconds(60)
    /// Between two transactions that drain, when requests wait for the database or stream into the spool.
    package var drainPause = Duration.milliseconds(20)

    package init() {}
}

/// What a submission's sender is told: a verdict for each event, and where they are.
struct Kept: Equatable, Sendable {
    var verdicts: [Verdict]
    var durability: IngestAnswer.Durability

    init(_ verdicts: [Verdict], _ durability: IngestAnswer.Durability = .committed) {
        self.verdicts = verdicts
        self.durability = durability
    }

    /// What is said of a submission whose events the database has not seen yet.
    init(_ submission: Submission, _ durability: IngestAnswer.Durability) {
        self.init(submission.events.map { _ in .spooled }, durability)
    }
}

/// The spool, for submissions.
struct SpoolLane: Sendable {
    let spool: Spool

    /// Returns once the submissions are durable.
    func append(_ submissions: [Submission], mark: UInt64 = 0) async throws(IngestError) {
        let entries = submissions.flatMap { SubmissionCodec.encode($0, mark: mark) }
        if entries.contains(where: { $0.payload.count > spool.payloadBytesMax }) { throw .spoolFull }
        do throws(SpoolError) {
            try await spool.append(entries)
        } catch {
            switch error {
            case .full, .closed: throw .spoolFull
            case .overloaded: throw .overloaded
            case .failed(let failure): throw .unavailable("spool: \(failure)")
            }
        }
    }

    /// Whether there is room for more.
    var isFull: Bool { spool.facts.isFull }

    var hasEvents: Bool { spool.facts.events > 0 }
}
