import Events
import Logging
import Postgres
import Reactor

/// Gets batches stored over one connection: optimistically, through the dedup path, again after an unknown
/// outcome, and without the rows that PostgreSQL refuses.
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

    /// Stores all rows of the plan in one transaction and sets their verdicts.
    ///
    /// Rows that PostgreSQL refuses are kept as rejects in that same transaction. They are found by others
    /// that are undone, so that nothing at all is stored when this is cut off.
    func store(
        _ plan: inout FlushPlan,
        cuts: Bool,
        deadline: Deadline
    ) async throws(IngestError) -> Stored {
        lostFlush = 0
        hasMadeDays = false
        while true {
            do throws(PostgresError) {
                let stored = try await storeOnce(&plan, cuts: cuts, deadline: deadline)
                for refused in plan.refused {
                    let state: Logger.MetadataValue = "\(refused.sqlState)"
                    logger.warning("PostgreSQL refused an event", metadata: ["sqlstate": state])
                }
                return stored
            } catch {
                // Nothing of it was stored. The numbers are used up all the same; seqs may have gaps.
                try await overcome(error, &plan, deadline: deadline)
            }
        }
    }

    private func storeOnce(
        _ plan: inout FlushPlan,
        cuts: Bool,
        deadline: Deadline
    ) async throws(PostgresError) -> Stored {
        number += 1
        let encoder = FlushEncoder(plan: plan, rows: plan.rows, firstSeq: nextSeq)
        nextSeq += Int64(plan.rows.count)
        let counts = counts(of: plan, cuts: cuts)
        let seqs = try await send(
            encoder,
            counts,
            mustDeduplicate: plan.isAlone || plan.hasUndated || plan.drained != nil,
            deadline: deadline
        )
        return settle(&plan, encoder, seqs: seqs, hi: counts.hi)
    }

    /// Changes the plan, or the database, so that what PostgreSQL has refused can be tried again; throws
    /// where that is not possible.
    private func overcome(
        _ error: PostgresError,
        _ plan: inout FlushPlan,
        deadline: Deadline
    ) async throws(IngestError) {
        if plan.replay != nil, let fault = Self.replayFault(error) { throw .replayUndone(fault) }
        if error.sqlState == Self.checkState, plan.rejectionCount > 0, !hasMadeDays {
            try await makeDays(for: plan, deadline: deadline)
            return
        }
        guard Self.rowRefusal(error) != nil, !plan.rows.isEmpty else { throw Self.translate(error) }
        metrics.rowsRefused()
        let refused = try await refusedRows(of: plan, deadline: deadline)
        // Each try has fewer rows than the one before.
        if refused.isEmpty { throw Self.translate(error) }
        plan.refuse(refused)
        hasMadeDays = false
    }

    /// Makes the days of the plan's rejects, for want of which PostgreSQL may have refused it.
    private func makeDays(for plan: FlushPlan, deadline: Deadline) async throws(IngestError) {
        hasMadeDays = true
        let rejecting = plan.submissions.filter { !$0.rejections.isEmpty } + plan.refusals.map(\.submission)
        let times = Set(rejecting.map(\.receivedAt))
        do throws(PostgresError) {
            for time in times.sorted() {
                let text = Timestamp.text(time)
                _ = try await connection.query("SELECT make_reject_day($1)", [text], deadline: deadline)
            }
        } catch {
            throw Self.translate(error)
        }
    }

    /// What is replayed was counted as rejected before, and is so no longer.
    private func counts(of plan: FlushPlan, cuts: Bool) -> FlushCounts {
        let counts = plan.drained?.isCounted != true
        return FlushCounts(
            stream: stream,
            flush: number,
            hi: nextSeq,
            offered: plan.rows.count,
            duplicates: counts ? plan.duplicates : 0,
            rejected: counts ? plan.rejectionCount - (plan.replay?.rejects.count ?? 0) : 0,
            bytes: counts ? plan.byteCount : 0,
            cuts: cuts,
            trace: plan.trace,
            drained: plan.drained,
            accounts: plan.accounts(countsRest: counts)
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
        _ plan: inout FlushPlan,
        _ encoder: FlushEncoder,
        seqs: Set<Int64>?,
        hi: Int64
    ) -> Stored {
        let lo = encoder.firstSeq
        guard let seqs else {
            return Stored(lo: lo, hi: hi, count: plan.rows.count, lines: encoder.jobLines { _ in true })
        }
        var position: Int64 = 0
        let lines = encoder.jobLines { _ in
            defer { position += 1 }
            return seqs.contains(lo + position)
        }
        for (offset, row) in encoder.rows.enumerated() where !seqs.contains(lo + Int64(offset)) {
            plan.set(.duplicate, of: row)
        }
        return Stored(lo: lo, hi: hi, count: seqs.count, lines: lines)
    }

    /// The rows that PostgreSQL refuses, found by halving what is tried; of an atomic request one is enough.
    private func refusedRows(
        of plan: FlushPlan,
        deadline: Deadline
    ) async throws(IngestError) -> [RefusedRow] {
        var suspects = [plan.rows[...]]
        var refused: [RefusedRow] = []
        while let rows = suspects.popLast() {
            guard let state = try await refusal(of: rows, plan, deadline: deadline) else { continue }
            if rows.count == 1 {
                refused.append(RefusedRow(row: rows[rows.startIndex], sqlState: state))
                if plan.isAtomic { break }
            } else {
                let middle = rows.startIndex + rows.count / 2
                suspects += [rows[middle...], rows[..<middle]]
            }
        }
        return refused
    }

    /// The SQLSTATE with which PostgreSQL refuses these rows; `nil` when it would take them.
    private func refusal(
        of rows: ArraySlice<FlushRow>,
        _ plan: FlushPlan,
        deadline: Deadline
    ) async throws(IngestError) -> String? {
        let encoder = FlushEncoder(plan: plan, rows: Array(rows), firstSeq: nextSeq)
        do throws(PostgresError) {
            try await connection.ensureConnected(deadline: deadline)
            _ = try await run(.probing(encoder), deadline: deadline)
        } catch {
            if let state = Self.rowRefusal(error) { return state }
            if error.sqlState != FlushStatement.probeState { throw Self.translate(error) }
        }
        return nil
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

    /// The SQLSTATE when it may be a row's fault: data exceptions, constraints other than uniqueness, limits,
    /// and what a trigger of an operator's raises.
    private static func rowRefusal(_ error: PostgresError) -> String? {
        guard let state = error.sqlState else { return nil }
        switch state.prefix(2) {
        case "22", "44": return state
        case "23": return state == "23505" ? nil : state
        default: return state == "54000" || state == "P0001" ? state : nil
        }
    }

    /// Why a replay was undone, where its rejects or their events are the reason.
    private static func replayFault(_ error: PostgresError) -> ReplayFault? {
        if error.sqlState == FlushStatement.goneState { return .gone }
        return rowRefusal(error).map { .refused(sqlState: $0) }
    }

    private static func translate(_ error: PostgresError) -> IngestError {
        switch error.sqlState {
        case "MR001": .fenced
        case let state? where isOfDatabase(state): .unavailable("\(error.tag) \(state)")
        case let state?: .refused(sqlState: state)
        case nil: .unavailable(error.tag)
        }
    }

    /// Whether the state says something of the database as a whole, and nothing of what it was to take.
    ///
    /// Connections, authorization, resources, operators, other transactions, the system; a statement that
    /// does not fit the schema, since all flushes have the same ones; and errors of our own.
    private static func isOfDatabase(_ state: String) -> Bool {
        databaseClasses.contains(String(state.prefix(2)))
    }

    private static let databaseClasses: Set<String> = [
        "08", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58", "F0", "MR",
    ]
}
