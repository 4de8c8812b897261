import Events

/// One row of a flush and where it came from.
struct FlushRow: Hashable, Sendable {
    let submission: Int
    /// Position among the submission's events.
    let event: Int
    let key: UInt128
    let ts: Int64
    let isUndated: Bool
}

extension FlushRow {
    init(_ event: PreparedEvent, submission: Int, position: Int) {
        self.init(
            submission: submission,
            event: position,
            key: event.key,
            ts: event.ts,
            isUndated: event.isUndated
        )
    }
}

/// A row that PostgreSQL would not take, for this SQLSTATE.
struct RefusedRow: Equatable, Sendable {
    let row: FlushRow
    let sqlState: String
}

/// Records of a spool that follow each other.
struct DrainedRange: Equatable, Sendable {
    let spool: UInt128
    let from: UInt64
    var to: UInt64
    /// Whether the flush that they are a copy of was committed after all: they are counted already.
    let isCounted: Bool
}

/// Which events of some submissions are written, in which order, and which are duplicates before PostgreSQL
/// is asked.
///
/// Pure: submissions in, rows and verdicts out. Rows come sorted by time and key, so that two writers
/// anywhere meet each other's rows in one order and cannot deadlock.
struct FlushPlan: Sendable {
    let submissions: [Submission]
    private(set) var rows: [FlushRow] = []
    private(set) var verdicts: [[Verdict]] = []
    /// Events found to be duplicates here, without PostgreSQL.
    private(set) var duplicates = 0
    /// The same by account.
    private var repeated = AccountShares()
    private(set) var hasUndated = false
    /// Rows that PostgreSQL has refused: they are not among the others any more.
    private(set) var refused: [RefusedRow] = []
    /// Events of an atomic request that are not kept because of the refused one.
    private var givenUp = 0
    /// The part of a spool that this is, which is forgotten in the transaction that stores it.
    var drained: DrainedRange?

    init(_ submissions: [Submission], recent: RecentKeys) {
        self.submissions = submissions
        var seen: Set<Identity> = []
        rows.reserveCapacity(submissions.reduce(0) { $0 + $1.events.count })
        for (number, submission) in submissions.enumerated() {
            var answers = [Verdict](repeating: .stored, count: submission.events.count)
            for (position, event) in submission.events.enumerated() {
                if !event.isFresh {
                    let identity = event.identity
                    if recent.contains(identity) || !seen.insert(identity).inserted {
                        answers[position] = .duplicate
                        duplicates += 1
                        repeated.change(submission.account(of: event)) { $0.duplicates += 1 }
                        continue
                    }
                }
                if event.isUndated { hasUndated = true }
                rows.append(FlushRow(event, submission: number, position: position))
            }
            verdicts.append(answers)
        }
        rows.sort { ($0.ts, $0.key) < ($1.ts, $1.key) }
    }

    var rejectionCount: Int {
        submissions.reduce(refused.count + givenUp) { $0 + $1.rejections.count + $1.aborted }
    }
    /// Whether all of it is one request's, to be stored as a whole or not at all.
    var isAtomic: Bool { submissions.first?.isAtomic ?? false }
    /// Whether it shares its transaction with no other request.
    var isAlone: Bool { submissions.first?.isAlone ?? false }
    /// The rejects that all of it comes from; `nil` for events that came in just now.
    var replay: Replay? { submissions.first?.replay }
    var byteCount: Int { submissions.reduce(0) { $0 + $1.bytes } }
    /// The first trace among those of the requests that have a row here.
    var trace: String? {
        if submissions.allSatisfy({ $0.trace == nil }) { return nil }
        let written = Set(rows.map(\.submission))
        return submissions.indices.first { submissions[$0].trace != nil && written.contains($0) }
            .flatMap { submissions[$0].trace }
    }

    /// What each account has of the transaction that writes the rows; with `countsRest` of all that counts
    /// besides rows, too.
    func accounts(countsRest: Bool) -> FlushAccounts {
        var shares = countsRest ? repeated : AccountShares()
        if countsRest {
            for refused in refused {
                shares.change(submissions[refused.row.submission].account) { $0.rejected += 1 }
            }
            if givenUp > 0 { shares.change(submissions[0].account) { $0.rejected += givenUp } }
            for submission in submissions {
                shares.change(submission.account) {
                    $0.rejected += submission.rejections.count + submission.aborted
                    $0.bytes += submission.bytes
                }
                // What is replayed was counted as rejected before, and is so no longer.
                if submission.replay == nil { continue }
                for event in submission.events {
                    shares.change(submission.account(of: event)) { $0.rejected -= 1 }
                }
            }
        }
        if replay != nil {
            let positions = rows.map { row in
                shares.change(submissions[row.submission].account(of: event(of: row))) { $0.offered += 1 }
            }
            return FlushAccounts(shares.all, rows: positions)
        }
        // All events of a request are one account's.
        var places = [Int?](repeating: nil, count: submissions.count)
        let positions = rows.map { row in
            let place = places[row.submission] ?? shares.position(of: submissions[row.submission].account)
            places[row.submission] = place
            shares.offer(at: place)
            return place
        }
        return FlushAccounts(shares.all, rows: positions)
    }

    func event(of row: FlushRow) -> PreparedEvent { submissions[row.submission].events[row.event] }

    mutating func set(_ verdict: Verdict, of row: FlushRow) {
        verdicts[row.submission][row.event] = verdict
    }

    /// Takes rows out that PostgreSQL has refused, for rejects in their place; of an atomic request all rows,
    /// for the reject of the first of these.
    mutating func refuse(_ refused: [RefusedRow]) {
        precondition(!refused.isEmpty, "somebody was refused")
        if isAtomic {
            givenUp = submissions[0].events.count - 1
            duplicates = 0
            repeated = AccountShares()
            rows = []
            verdicts = verdicts.map { $0.map { _ in .aborted } }
            self.refused = Array(refused.prefix(1))
        } else {
            let taken = Set(refused.map(\.row))
            rows.removeAll { taken.contains($0) }
            self.refused += refused
            refuseRepetitions(of: refused)
        }
        for refused in self.refused { set(.refused(sqlState: refused.sqlState), of: refused.row) }
    }

    /// Refuses what was held for duplicates of these here: there is nothing that they would repeat.
    private mutating func refuseRepetitions(of refused: [RefusedRow]) {
        if duplicates == 0 { return }
        var states: [Identity: String] = [:]
        for refused in refused where !event(of: refused.row).isFresh {
            states[event(of: refused.row).identity] = refused.sqlState
        }
        for (number, submission) in submissions.enumerated() {
            for (position, event) in submission.events.enumerated() {
                guard verdicts[number][position] == .duplicate, let state = states[event.identity]
                else { continue }
                duplicates -= 1
                repeated.change(submission.account(of: event)) { $0.duplicates -= 1 }
                let row = FlushRow(event, submission: number, position: position)
                self.refused.append(RefusedRow(row: row, sqlState: state))
            }
        }
    }

    /// The rejects that the refused rows have become, and the submission of each.
    var refusals: [(rejection: Rejection, submission: Submission)] {
        refused.map { refused in
            let origin = submissions[refused.row.submission]
            let event = origin.arena.records[event(of: refused.row).record]
            let rejection = RefusedEvent.rejection(of: event, in: origin.arena, sqlState: refused.sqlState)
            return (rejection, origin)
        }
    }
}
