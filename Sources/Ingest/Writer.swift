import Events
import Logging
import Postgres
import Reactor

/// Where a writer's streams and committed events go; the program joins this to the analytics queue.
package struct WriterHooks: Sendable {
    /// Committed events as job lines, with the seqs `lo..<hi` of the flush; in order for each stream.
    package var stored: @Sendable (_ stream: Int64, _ lo: Int64, _ hi: Int64, _ lines: [UInt8]) -> Void
    /// A job has been cut.
    package var cut: @Sendable () -> Void
    /// This process was declared dead; it must not write any more.
    package var fenced: @Sendable () -> Void

    package init(
        stored: @escaping @Sendable (Int64, Int64, Int64, [UInt8]) -> Void,
        cut: @escaping @Sendable () -> Void,
        fenced: @escaping @Sendable () -> Void
    ) {
        self.stored = stored
        self.cut = cut
        self.fenced = fenced
    }
}

/// Writes one stream of events over a connection of its own, one flush at a time, and cuts it into jobs.
///
/// Belongs to its ``WriteQueue``, on whose loop every call runs. ``Flush`` knows how a batch gets stored
/// whatever happens.
final class Writer {
    private let flush: Flush
    private let limits: BatchLimits
    private let hooks: WriterHooks
    private let logger: Logger
    private var rest: UnsafeContinuation<Void, Never>?
    private var isFinishing = false
    /// Set when this process was declared dead.
    private(set) var isFenced = false
    /// Events stored since the last cut, and since when; a cut is due when either is too much.
    private var uncut = 0
    private var uncutSince: Deadline?
    private var isReminded = false

    init(_ flush: Flush, limits: BatchLimits, hooks: WriterHooks, logger: Logger) {
        self.flush = flush
        self.limits = limits
        self.hooks = hooks
        self.logger = logger
    }

    /// Names the flush that failed last if it may have been committed; 0 if it was not.
    var lostFlush: UInt64 { flush.lostFlush }

    // MARK: Resting

    var isIdle: Bool { rest != nil }

    /// Keeps `waiter` until ``wake()``.
    func rest(_ waiter: UnsafeContinuation<Void, Never>) { rest = waiter }

    func wake() {
        let waiter = rest
        rest = nil
        waiter?.resume()
    }

    // MARK: Writing

    /// Gets ready before there is anything to write: the first event is not to wait for a connection.
    func prepare() async { await flush.connect(deadline: .after(limits.cutTimeout)) }

    /// Stores the plan's rows, sets their verdicts and hands their job lines on.
    func write(_ plan: inout FlushPlan, at started: Deadline) async throws(IngestError) {
        let cuts = isCutDue(at: started, adding: plan.rows.count)
        do throws(IngestError) {
            let stored = try await flush.store(
                &plan,
                cuts: cuts,
                deadline: started.advanced(by: limits.flushTimeout)
            )
            noteStored(stored.count, cuts: cuts)
            if stored.lo < stored.hi { hooks.stored(flush.stream, stored.lo, stored.hi, stored.lines) }
            if cuts { hooks.cut() }
        } catch {
            switch error {
            case .fenced: isFenced = true
            case .replayUndone: break
            // Some of it may have been committed all the same, and then a job has to cover it.
            case .overloaded, .spoolFull, .unavailable, .refused: noteStored(1, cuts: false)
            }
            throw error
        }
    }

    // MARK: Cutting jobs

    /// Cuts what is left; nothing is written afterwards.
    func finish() async {
        isFinishing = true
        if uncut > 0 { await cut(within: limits.flushTimeout) }
    }

    /// Cuts when no flush has done so in time; `false` when none was due.
    func cutIfDue() async -> Bool {
        guard let uncutSince, !isFenced else { return false }
        guard Deadline.now().duration(since: uncutSince) >= limits.cutInterval else { return false }
        await cut(within: limits.cutTimeout)
        return true
    }

    /// When a resting writer has to be woken for a cut; told once for each tail.
    func takeReminder() -> Deadline? {
        guard let uncutSince, !isReminded else { return nil }
        isReminded = true
        return uncutSince.advanced(by: limits.cutInterval)
    }

    private func isCutDue(at now: Deadline, adding rows: Int) -> Bool {
        if uncut + rows >= limits.cutEventsMax { return true }
        guard let uncutSince else { return false }
        return now.duration(since: uncutSince) >= limits.cutInterval
    }

    private func noteStored(_ rows: Int, cuts: Bool) {
        if cuts {
            uncut = 0
            uncutSince = nil
        } else if rows > 0 {
            uncut += rows
            if uncutSince == nil {
                uncutSince = .now()
                isReminded = false
            }
        }
    }

    private func cut(within timeout: Duration) async {
        uncut = 0
        uncutSince = nil
        do throws(IngestError) {
            try await flush.cut(deadline: .after(timeout))
            hooks.cut()
        } catch {
            // The tail stays uncut until the next flush cuts it, or this node's end does.
            logger.warning("a job was not cut", metadata: ["reason": "\(error)"])
            if error == .fenced { isFenced = true } else if !isFinishing { noteStored(1, cuts: false) }
        }
    }
}
