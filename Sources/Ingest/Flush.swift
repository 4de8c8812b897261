import Events
import Logging
import Postgres
import Reactor

/// Gets batches stored over one connection: optimistically, through the dedup path, again after an unknown
/// outcome, and piece by piece around a row that PostgreSQL refuses.
final class Flush {
    /// Events that have been committed: their seqs, and the job lines of those that are new.
    struct Stored {
        let lo: Int64
        let hi: Int64
        let count: Int
        let lines: [UInt8]
    }

    let stream: Int64
    private let connection: PostgresConnection
    private let metrics: IngestMetrics
    private let logger: Logger
    private var number: Int64 = 0
    private var nextSeq: Int64
    private var fallbacks = FallbackState()
    private let patience: Duration
    /// Whether the days of this plan's rejects were made already.
    private var hasMadeDays = false
    /// Names the flush that failed last if it may have been committed; 0 if it was not.
    private(set) var lostFlush: UInt64 = 0

    /// With a database that is away a flush fails after `patience`.
    init(
        stream: Int64,
        connection: PostgresConnection,
        patience: Duration,
        metrics: IngestMetrics,
        logger: Logger
    ) {
        self.patience = patience
        self.stream = stream
        self.connection = connection
        self.metrics = metrics
        self.logger = logger
        nextSeq = stream << 40
    }

    /// Rows of a plan that go into one transaction, and which of the plan's transactions that is.
    private struct Part {
        var rows: [FlushRow]
        var isFirst = true
        var isLast = true

        /// The same in two, one after the other.
        var halves: (Part, Part) {
            let middle = rows.count / 2
            return (
                Part(rows: Array(rows[..<middle]), isFirst: isFirst, isLast: false),
                Part(rows: Array(rows[middle...]), isFirst: false, isLast: isLast)
            )
        }
    }

    /// Stores all rows of the plan and sets their verdicts; one transaction unless a row is refused.
    func store(
        _ plan: inout FlushPlan,
        cuts: Bool,
        deadline: Deadline
    ) async throws(IngestError) -> [Stored] {
        var stored: [Stored] = []
        lostFlush = 0
        hasMadeDays = false
        try await store(Part(rows: plan.rows), of: &plan, cuts: cuts, into: &stored, deadline: deadline)
        return stored
    }

    private func store(
        _ part: Part,
        of plan: inout FlushPlan,
        cuts: Bool,
        into stored: inout [Stored],
        deadline: Deadline
    ) async throws(IngestError) {
        number += 1
        let encoder = FlushEncoder(plan: plan, rows: part.rows, firstSeq: nextSeq)
        nextSeq += Int64(part.rows.count)
        let counts = counts(of: plan, part, cuts: cuts)
        do throws(PostgresError) {
            let seqs = try await send(
                encoder,
                counts,
                mustDeduplicate: plan.isAlone || plan.hasUndated || plan.drained != nil || !part.isFirst,
                deadline: deadline
            )
            stored.append(settle(part.rows, of: &plan, encoder, seqs: seqs, hi: counts.hi))
        } catch {
            if plan.replay != nil, let fault = Self.replayFault(error) { throw .replayUndone(fault) }
            // Nothing of it was stored. The numbers are used up all the same; seqs may have gaps.
            if error.sqlState == Self.checkState, counts.rejected > 0, !hasMadeDays {
                try await makeDays(for: plan, deadline: deadline)
                try await store(part, of: &plan, cuts: cuts, into: &stored, deadline: deadline)
                return
            }
            guard let state = Self.rowRefusal(error), !part.rows.isEmpty else { throw Self.translate(error) }
            metrics.rowsRefused()
            if plan.isAtomic {
                try await abort(&plan, part.rows, sqlState: state, cuts: cuts, deadline: deadline)
            } else if part.rows.count == 1 {
                try await keepRefused(part, sqlState: state, of: &plan, cuts: cuts, deadline: deadline)
            } else {
                let (first, second) = part.halves
                try await store(first, of: &plan, cuts: cuts, into: &stored, deadline: deadline)
                try await store(second, of: &plan, cuts: cuts, into: &stored, deadline: deadline)
            }
        }
    }

    /// Makes the days of the plan's rejects, for want of which PostgreSQL may have refused it.
    private func makeDays(for plan: FlushPlan, deadline: Deadline) async throws(IngestError) {
        hasMadeDays = true
        let times = Set(plan.submissions.filter { !$0.rejections.isEmpty }.map(\.receivedAt))
        do throws(PostgresError) {
            for time in times.sorted() {
                let text = String(decoding: Timestamp.format(time), as: UTF8.self)
                _ = try await connection.query("SELECT make_reject_day($1)", [text], deadline: deadline)
            }
        } catch {
            throw Self.translate(error)
        }
    }

    /// Rejections and what was a duplicate before are counted by the first transaction only; a spool's
    /// position is moved by the last.
    ///
    /// What is replayed was counted as rejected before, and is so no longer.
    private func counts(of plan: FlushPlan, _ part: Part, cuts: Bool) -> FlushCounts {
        let counts = part.isFirst && plan.drained?.isCounted != true
        return FlushCounts(
            stream: stream,
            flush: number,
            hi: nextSeq,
            offered: part.rows.count,
            duplicates: counts ? plan.duplicates : 0,
            rejected: counts ? plan.rejectionCount - (plan.replay?.rejects.count ?? 0) : 0,
            bytes: counts ? plan.byteCount : 0,
            cuts: cuts,
            trace: plan.trace,
            drained: part.isLast ? plan.drained : nil,
            accounts: plan.accounts(of: part.rows, countsRest: counts)
        )
    }

    /// Sends one flush until its outcome is known.
    ///
    /// Returns the seqs that are stored; `nil` when all are.
    private func send(
        _ encoder: FlushEncoder,
        _ counts: FlushCounts,
        mustDeduplicate: Bool,
        deadline: Deadline
    ) async throws(PostgresError) -> Set<Int64>? {
        var deduplicates = mustDeduplicate || fallbacks.prefersDeduplication
        while true {
            try await connection.ensureConnected(deadline: min(deadline, .after(patience)))
            do throws(PostgresError) {
                if deduplicates {
                    let seqs = try await run(.deduplicating(encoder, counts), deadline: deadline)
                    lostFlush = 0
                    return Set((seqs?.rows ?? []).compactMap { $0[0].flatMap { Int64($0) } })
                }
                _ = try await run(.optimistic(encoder, counts), deadline: deadline)
                fallbacks.succeeded()
                return nil
            } catch {
                if error.isOutcomeUnknown { lostFlush = UInt64(stream) << 40 | UInt64(counts.flush) }
                switch error {
                case .server(let refusal) where refusal.isUniqueViolation && !deduplicates:
                    fallbacks.fellBack()
                    metrics.fellBack()
                case .server(let refusal) where refusal.isRetryable: break
                // Unknown outcome: the same seqs again, through the path that recognises them.
                case .connectionLost where Deadline.now() < deadline: metrics.outcomeUnknown()
                default: throw error
                }
                deduplicates = true
            }
        }
    }

    /// Returns the statement's last result.
    private func run(
        _ statement: FlushStatement,
        deadline: Deadline
    ) async throws(PostgresError) -> PostgresResult? {
        switch statement {
        case .query(let sql, let copies):
            try await connection.simple(sql, copies: copies, deadline: deadline).last
        case .insert(let parameters):
            try await connection.execute(FlushStatement.insertName, parameters, deadline: deadline)
        }
    }

    private func settle(
        _ rows: [FlushRow],
        of plan: inout FlushPlan,
        _ encoder: FlushEncoder,
        seqs: Set<Int64>?,
        hi: Int64
    ) -> Stored {
        let lo = encoder.firstSeq
        guard let seqs else {
            return Stored(lo: lo, hi: hi, count: rows.count, lines: encoder.jobLines { _ in true })
        }
        var position: Int64 = 0
        let lines = encoder.jobLines { _ in
            defer { position += 1 }
            return seqs.contains(lo + position)
        }
        for (offset, row) in rows.enumerated() where !seqs.contains(lo + Int64(offset)) {
            plan.set(.duplicate, of: row)
        }
        return Stored(lo: lo, hi: hi, count: seqs.count, lines: lines)
    }

    /// Keeps a row that PostgreSQL refused as a reject, so that it is not lost and its sender is told.
    private func keepRefused(
        _ part: Part,
        sqlState: String,
        of plan: inout FlushPlan,
        cuts: Bool,
        deadline: Deadline
    ) async throws(IngestError) {
        let row = part.rows[0]
        var rest = plan.refusing(row, sqlState: sqlState, isFirst: part.isFirst)
        try await storeRest(&rest, isLast: part.isLast, cuts: cuts, deadline: deadline)
        plan.set(.refused(sqlState: sqlState), of: row)
        logger.warning("PostgreSQL refused an event", metadata: ["sqlstate": "\(sqlState)"])
    }

    /// Stores a plan without rows: what it counts and keeps besides.
    private func storeRest(
        _ rest: inout FlushPlan,
        isLast: Bool,
        cuts: Bool,
        deadline: Deadline
    ) async throws(IngestError) {
        var unused: [Stored] = []
        let part = Part(rows: [], isLast: isLast)
        try await store(part, of: &rest, cuts: cuts, into: &unused, deadline: deadline)
    }

    /// Stores nothing of an atomic request but the reject that the row at fault becomes.
    private func abort(
        _ plan: inout FlushPlan,
        _ rows: [FlushRow],
        sqlState: String,
        cuts: Bool,
        deadline: Deadline
    ) async throws(IngestError) {
        let fault = try await culprit(of: plan, among: rows, sqlState: sqlState, deadline: deadline)
        var rest = plan.abort(because: fault.row, sqlState: fault.sqlState)
        try await storeRest(&rest, isLast: true, cuts: cuts, deadline: deadline)
        logger.warning(
            "PostgreSQL refused an event of an atomic request",
            metadata: ["sqlstate": "\(fault.sqlState)"]
        )
    }

    /// The row that PostgreSQL refuses, found by halving what is tried.
    private func culprit(
        of plan: FlushPlan,
        among rows: [FlushRow],
        sqlState: String,
        deadline: Deadline
    ) async throws(IngestError) -> (row: FlushRow, sqlState: String) {
        var suspects = rows[...]
        var state = sqlState
        while suspects.count > 1 {
            let half = suspects.prefix(suspects.count / 2)
            let encoder = FlushEncoder(plan: plan, rows: Array(half), firstSeq: nextSeq)
            do throws(PostgresError) {
                try await connection.ensureConnected(deadline: deadline)
                _ = try await run(.probing(encoder), deadline: deadline)
            } catch {
                if let found = Self.rowRefusal(error) {
                    state = found
                    suspects = half
                    continue
                }
                if error.sqlState != FlushStatement.probeState { throw Self.translate(error) }
            }
            suspects = suspects.dropFirst(half.count)
        }
        return (suspects[suspects.startIndex], state)
    }

    /// Connects, if PostgreSQL lets it; whoever writes will do so again.
    func connect(deadline: Deadline) async {
        do throws(PostgresError) { try await connection.ensureConnected(deadline: deadline) } catch {
            logger.debug("not connected yet", metadata: ["reason": "\(error)"])
        }
    }

    /// Cuts a job of what was stored since the last cut.
    func cut(deadline: Deadline) async throws(IngestError) {
        do throws(PostgresError) {
            try await connection.ensureConnected(deadline: deadline)
            _ = try await connection.query("SELECT cut_stream($1)", ["\(stream)"], deadline: deadline)
        } catch {
            throw Self.translate(error)
        }
    }

    // MARK: Errors

    /// The SQLSTATE of a violated check, and of a row that no partition takes.
    private static let checkState = "23514"

    /// The SQLSTATE when it is a row's fault: data exceptions, and constraints other than uniqueness.
    private static func rowRefusal(_ error: PostgresError) -> String? {
        guard let state = error.sqlState else { return nil }
        return state.hasPrefix("22") || state == checkState || state == "54000" ? state : nil
    }

    /// Why a replay was undone, where its rejects or their events are the reason.
    private static func replayFault(_ error: PostgresError) -> ReplayFault? {
        if error.sqlState == FlushStatement.goneState { return .gone }
        return rowRefusal(error).map { .refused(sqlState: $0) }
    }

    private static func translate(_ error: PostgresError) -> IngestError {
        switch error.sqlState {
        case "MR001": .fenced
        case let state?: .unavailable("\(error.tag) \(state)")
        case nil: .unavailable(error.tag)
        }
    }
}
