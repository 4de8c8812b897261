import Events

/// One row of a flush and where it came from.
struct FlushRow: Equatable, Sendable {
    let submission: Int
    /// Position among the submission's events.
    let event: Int
    let key: UInt128
    let ts: Int64
    let isUndated: Bool
}

/// Records of a spool that follow each other.
struct DrainedRange: Equatable, Sendable {
    let spool: UInt128
    let from: UInt64
    let to: UInt64
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
                rows.append(
                    FlushRow(
                        submission: number,
                        event: position,
                        key: event.key,
                        ts: event.ts,
                        isUndated: event.isUndated
                    )
                )
            }
            verdicts.append(answers)
        }
        rows.sort { ($0.ts, $0.key) < ($1.ts, $1.key) }
    }

    var rejectionCount: Int { submissions.reduce(0) { $0 + $1.rejections.count + $1.aborted } }
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

    /// What each account has of a transaction that writes `rows`; with `countsRest` of all that counts
    /// besides rows, too.
    func accounts(of rows: [FlushRow], countsRest: Bool) -> FlushAccounts {
        var shares = countsRest ? repeated : AccountShares()
        if countsRest {
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

    private func rejection(of row: FlushRow, sqlState: String) -> Rejection {
        let origin = submissions[row.submission]
        let event = origin.arena.records[self.event(of: row).record]
        return RefusedEvent.rejection(of: event, in: origin.arena, sqlState: sqlState)
    }

    mutating func set(_ verdict: Verdict, of row: FlushRow) {
        verdicts[row.submission][row.event] = verdict
    }

    /// Gives up all events of an atomic request because of `row`, which PostgreSQL has refused.
    ///
    /// - Returns: The plan of what is written instead: the reject that the row becomes, and the count.
    mutating func abort(because row: FlushRow, sqlState: String) -> FlushPlan {
        let origin = submissions[row.submission]
        var rest = origin.withoutEvents([rejection(of: row, sqlState: sqlState)], bytes: origin.bytes)
        rest.aborted = origin.events.count - 1
        verdicts = verdicts.map { $0.map { _ in .aborted } }
        set(.refused(sqlState: sqlState), of: row)
        var plan = FlushPlan([rest], recent: RecentKeys(capacity: 1))
        plan.drained = drained
        return plan
    }

    /// The plan of what is written for `row`, which PostgreSQL has refused: no row, but the reject that it
    /// becomes.
    ///
    /// With `isFirst` nothing of this plan has been counted yet, and it takes over
    /// all that counts besides rows.
    func refusing(_ row: FlushRow, sqlState: String, isFirst: Bool) -> FlushPlan {
        let origin = submissions[row.submission]
        let refused = rejection(of: row, sqlState: sqlState)
        var kept = isFirst ? submissions.map { $0.withoutEvents($0.rejections, bytes: $0.bytes) } : []
        kept.append(origin.withoutEvents([refused], bytes: 0))
        var plan = FlushPlan(kept, recent: RecentKeys(capacity: 1))
        if isFirst {
            plan.duplicates = duplicates
            plan.repeated = repeated
        }
        plan.drained = drained
        return plan
    }
}
