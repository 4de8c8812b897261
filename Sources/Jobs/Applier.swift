import Analytics
import CoreMetrics
package import Logging
package import Postgres
package import Reactor

/// What became of a result.
package enum ApplyVerdict: Equatable, Sendable {
    /// It counts, exactly once.
    case applied
    /// Its lease was over; it changed nothing.
    case stale
    /// The database refuses it as it is; it changed nothing.
    case refused(String)
    /// The applier was stopped first; whether it counts is unknown here, and the lease decides.
    case dropped
}

/// Gathers results for a moment and applies them together, on a connection of its own.
///
/// A database that is away is waited for: results stay, and ``isFull`` says when to claim no more.
package actor Applier {
    private struct Waiting: Sendable {
        let result: JobResult
        let done: CheckedContinuation<ApplyVerdict, Never>
    }

    nonisolated private let loop: EventLoop
    private let connection: PostgresConnection
    private let limits: JobsLimits
    private let logger: Logger
    private let metrics = JobsMetrics()
    private let transaction: ApplyTransaction
    private var waiting: [Waiting] = []
    private var waitingBytes = 0
    private var waitingSince = Deadline.never
    private var working: Task<Void, Never>?
    private var nap: Task<Void, Never>?
    private var isGathering = false
    private var isHasty = false
    /// After which nothing is tried again.
    private var stopAt = Deadline.never

    nonisolated package var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// An applier for the database of `configuration`; it connects when the first result comes.
    package init(
        _ configuration: PostgresConfiguration,
        limits: JobsLimits = JobsLimits(),
        loop: EventLoop,
        logger: Logger
    ) {
        self.loop = loop
        self.limits = limits
        self.logger = logger
        connection = PostgresConnection(
            ApplyTransaction.configuration(configuration, limits: limits),
            name: "applier",
            loop: loop,
            logger: logger
        )
        transaction = ApplyTransaction(connection: connection, limits: limits, logger: logger)
    }

    /// Whether so much waits that no more should be claimed.
    package var isFull: Bool {
        waiting.count >= limits.apply.backlogMax || waitingBytes >= limits.apply.backlogBytesMax
    }

    /// Makes a result count, and returns when that is certain, one way or the other.
    package func apply(_ result: JobResult) async -> ApplyVerdict {
        if Deadline.now() >= stopAt { return .dropped }
        return await withCheckedContinuation { done in
            if waiting.isEmpty { waitingSince = .now() }
            waiting.append(Waiting(result: result, done: done))
            waitingBytes += result.bytes
            metrics.backlog.set(waiting.count)
            if isBatchFull, isGathering { nap?.cancel() }
            // Ends when nothing waits any more, or at `stopAt`.
            if working == nil { working = Task(executorPreference: loop) { await self.work() } }
        }
    }

    /// From now on results are applied without waiting for others.
    package func hurry() {
        isHasty = true
        nap?.cancel()
    }

    /// Applies what waits until `deadline`, and gives up then.
    package func stop(deadline: Deadline) async {
        hurry()
        stopAt = min(stopAt, deadline)
        if let working {
            // Ends with the work, which cancels it.
            let guarding = Task(executorPreference: loop) { await self.abandon(at: deadline) }
            await working.value
            guarding.cancel()
        }
        await connection.close()
    }

    /// Gives up everything at once: this node's leases are over.
    package func discard() async {
        hurry()
        stopAt = .now()
        await connection.close()
    }

    private func abandon(at deadline: Deadline) async {
        await loop.sleep(until: deadline)
        if !Task.isCancelled { await discard() }
    }

    // MARK: Batches

    private var isBatchFull: Bool {
        waiting.count >= limits.apply.resultsMax || waitingBytes >= limits.apply.bytesMax
    }

    private func work() async {
        while !waiting.isEmpty {
            if !isBatchFull, !isHasty {
                isGathering = true
                await sleep(until: waitingSince.advanced(by: limits.apply.linger))
                isGathering = false
            }
            await apply(takeBatch())
        }
        working = nil
    }

    private func sleep(until deadline: Deadline) async {
        // Ends at the deadline, or when somebody who cannot wait cancels it.
        let sleeping = Task(executorPreference: loop) { await self.loop.sleep(until: deadline) }
        nap = sleeping
        await sleeping.value
        nap = nil
    }

    /// The oldest results, at most one of a lease: another report of the same waits for the next batch, and
    /// is stale.
    private func takeBatch() -> [Waiting] {
        var batch: [Waiting] = []
        var rest: [Waiting] = []
        var leases: Set<LeaseID> = []
        var bytes = 0
        for entry in waiting {
            let hasRoom =
                batch.isEmpty
                || batch.count < limits.apply.resultsMax
                    && bytes + entry.result.bytes <= limits.apply.bytesMax
            guard hasRoom, leases.insert(entry.result.id).inserted else {
                rest.append(entry)
                continue
            }
            batch.append(entry)
            bytes += entry.result.bytes
        }
        waiting = rest
        waitingBytes -= bytes
        waitingSince = .now()
        metrics.backlog.set(waiting.count)
        return batch
    }

    private func apply(_ batch: [Waiting], isRepeated wasTried: Bool = false) async {
        var pause = limits.apply.retryMin
        var isRepeated = wasTried
        while Deadline.now() < stopAt {
            do throws(PostgresError) {
                let began = Deadline.now()
                try await connection.ensureConnected(deadline: .after(limits.statement))
                let outcome = try await transaction.run(batch.map(\.result), isRepeated: isRepeated)
                metrics.applySeconds.recordNanoseconds(Deadline.now().duration(since: began).nanoseconds)
                settle(batch, outcome)
                return
            } catch {
                if Self.isRefusal(error) {
                    await divide(batch, error, isRepeated)
                    return
                }
                isRepeated = isRepeated || error.isOutcomeUnknown
                metrics.applyRetries.increment()
                logger.notice(
                    "results not applied yet",
                    metadata: ["results": "\(batch.count)", "error": "\(error)"]
                )
            }
            await sleep(until: min(.after(pause * Double.random(in: 0.5...1)), stopAt))
            pause = min(pause * 2, limits.apply.retryMax)
        }
        for entry in batch { entry.done.resume(returning: .dropped) }
    }

    /// Whether the values themselves are at fault; a missing partition (23514) is not theirs.
    private static func isRefusal(_ error: PostgresError) -> Bool {
        switch error {
        case .misuse: true
        case .server(let error): error.sqlState.hasPrefix("22") || error.sqlState.hasPrefix("54")
        case .unavailable, .connectionLost, .timedOut: false
        }
    }

    /// One result that the database refuses must not keep its neighbours from counting.
    private func divide(_ batch: [Waiting], _ error: PostgresError, _ isRepeated: Bool) async {
        if batch.count == 1 {
            batch[0].done.resume(returning: .refused(error.description))
            return
        }
        let middle = batch.count / 2
        await apply(Array(batch[..<middle]), isRepeated: isRepeated)
        await apply(Array(batch[middle...]), isRepeated: isRepeated)
    }

    private func settle(_ batch: [Waiting], _ outcome: ApplyTransaction.Outcome) {
        for entry in batch {
            let id = entry.result.id
            if outcome.acked.contains(id) || outcome.appliedBefore.contains(id) {
                metrics.completed.increment()
                metrics.events.increment(by: entry.result.rollups.values.reduce(0) { $0 + $1.count })
                entry.done.resume(returning: .applied)
            } else {
                metrics.stale.increment()
                entry.done.resume(returning: .stale)
            }
        }
    }
}
