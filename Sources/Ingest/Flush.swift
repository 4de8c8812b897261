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

    init(stream: Int64, connection: PostgresConnection, metrics: IngestMetrics, logger: Logger) {
        self.stream = stream
        self.connection = connection
        self.metrics = metrics
        self.logger = logger
        nextSeq = stream << 40
    }

    /// Stores all rows of the plan and sets their verdicts; one transaction unless a row is refused.
    func store(
        _ plan: inout FlushPlan,
        cuts: Bool,
        deadline: Deadline
    ) async throws(IngestError) -> [Stored] {
        var stored: [Stored] = []
        try await store(
            plan.rows,
            of: &plan,
            isFirst: true,
            cuts: cuts,
            into: &stored,
            deadline: deadline
        )
        return stored
    }

    private func store(
        _ rows: [FlushRow],
        of plan: inout FlushPlan,
        isFirst: Bool,
        cuts: Bool,
        into stored: inout [Stored],
        deadline: Deadline
    ) async throws(IngestError) {
        number += 1
        let encoder = FlushEncoder(plan: plan, rows: rows, firstSeq: nextSeq)
        nextSeq += Int64(rows.count)
        let counts = counts(of: plan, rows, isFirst: isFirst, cuts: cuts)
        do throws(PostgresError) {
            let seqs = try await send(
                encoder,
                counts,
                mustDeduplicate: plan.hasUndated || plan.isAtomic || plan.replay != nil || !isFirst,
                deadline: deadline
            )
            stored.append(settle(rows, of: &plan, encoder, seqs: seqs, hi: counts.hi))
        } catch {
            if plan.replay != nil, let fault = Self.replayFault(error) { throw .replayUndone(fault) }
            guard let state = Self.rowRefusal(error), !rows.isEmpty else { throw Self.translate(error) }
            // Nothing of it was stored. The numbers are used up all the same; seqs may have gaps.
            metrics.rowsRefused()
            if plan.isAtomic {
                try await abort(&plan, rows, sqlState: state, cuts: cuts, deadline: deadline)
                return
            }
            if rows.count == 1 {
                try await keepRefused(
                    rows[0],
                    sqlState: state,
                    of: &plan,
                    isFirst: isFirst,
                    cuts: cuts,
                    deadline: deadline
                )
                return
            }
            let middle = rows.count / 2
            for (half, isFirst) in [(rows[..<middle], isFirst), (rows[middle...], false)] {
                try await store(
                    Array(half),
                    of: &plan,
                    isFirst: isFirst,
                    cuts: cuts,
                    into: &stored,
                    deadline: deadline
                )
            }
        }
    }

    /// Rejections and what was a duplicate before are counted by the first transaction only.
    ///
    /// What is replayed was counted as rejected before, and is so no longer.
    private func counts(of plan: FlushPlan, _ rows: [FlushRow], isFirst: Bool, cuts: Bool) -> FlushCounts {
        FlushCounts(
            stream: stream,
            flush: number,
            hi: nextSeq,
            offered: rows.count,
            duplicates: isFirst ? plan.duplicates : 0,
            rejected: isFirst ? plan.rejectionCount - (plan.replay?.rejects.count ?? 0) : 0,
            bytes: isFirst ? plan.byteCount : 0,
            cuts: cuts,
            trace: plan.trace
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
            try await connection.ensureConnected(deadline: deadline)
            do throws(PostgresError) {
                if deduplicates {
                    let seqs = try await run(.deduplicating(encoder, counts), deadline: deadline)
                    return Set((seqs?.rows ?? []).compactMap { $0[0].flatMap { Int64($0) } })
                }
                _ = try await run(.optimistic(encoder, counts), deadline: deadline)
                fallbacks.succeeded()
                return nil
            } catch {
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
        _ row: FlushRow,
        sqlState: String,
        of plan: inout FlushPlan,
        isFirst: Bool,
        cuts: Bool,
        deadline: Deadline
    ) async throws(IngestError) {
        var rest = plan.refusing(row, sqlState: sqlState, isFirst: isFirst)
        var unused: [Stored] = []
        try await store([], of: &rest, isFirst: true, cuts: cuts, into: &unused, deadline: deadline)
        plan.set(.refused(sqlState: sqlState), of: row)
        logger.warning("PostgreSQL refused an event", metadata: ["sqlstate": "\(sqlState)"])
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
        var unused: [Stored] = []
        try await store([], of: &rest, isFirst: true, cuts: cuts, into: &unused, deadline: deadline)
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

    /// The SQLSTATE when it is a row's fault: data exceptions, and constraints other than uniqueness.
    private static func rowRefusal(_ error: PostgresError) -> String? {
        guard let state = error.sqlState else { return nil }
        return state.hasPrefix("22") || state == "23514" || state == "54000" ? state : nil
    }

    /// Why a replay was undone, where its rejects or their events are the reason.
    private static func replayFault(_ error: PostgresError) -> ReplayFault? {
        if error.sqlState == FlushStatement.goneState { return .gone }
        return rowRefusal(error).map { .refused(sqlState: $0) }
    }

    private static func translate(_ error: PostgresError) -> IngestError {
        error.sqlState == "MR001" ? .fenced : .unavailable(error.tag)
    }
}

/// Decides when optimism does not pay: when more than 3 % of the last flushes met a conflict, the next
/// hundred go straight to the dedup path (storage: a scattered duplicate costs its whole batch a second try).
struct FallbackState: Sendable {
    private var window: [Bool] = []
    private var deduplicating = 0

    private static let windowFlushes = 100
    private static let fallbacksMax = 3

    /// Whether the next flush should not try; counts it.
    var prefersDeduplication: Bool {
        mutating get {
            if deduplicating == 0 { return false }
            deduplicating -= 1
            return true
        }
    }

    mutating func succeeded() { note(false) }
    mutating func fellBack() { note(true) }

    private mutating func note(_ fellBack: Bool) {
        window.append(fellBack)
        if window.count > Self.windowFlushes { window.removeFirst() }
        if window.count(where: { $0 }) > Self.fallbacksMax {
            deduplicating = Self.windowFlushes
            window = []
        }
    }
}
