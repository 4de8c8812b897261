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
    private(set) var hasUndated = false

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

    var rejectionCount: Int { submissions.reduce(0) { $0 + $1.rejections.count } }
    var byteCount: Int { submissions.reduce(0) { $0 + $1.bytes } }

    func event(of row: FlushRow) -> PreparedEvent { submissions[row.submission].events[row.event] }

    mutating func set(_ verdict: Verdict, of row: FlushRow) {
        verdicts[row.submission][row.event] = verdict
    }

    /// The plan of what is written for `row`, which PostgreSQL has refused: no row, but the reject that it
    /// becomes.
    ///
    /// With `isFirst` nothing of this plan has been counted yet, and it takes over
    /// all that counts besides rows.
    func refusing(_ row: FlushRow, sqlState: String, isFirst: Bool) -> FlushPlan {
        let origin = submissions[row.submission]
        let event = origin.arena.records[self.event(of: row).record]
        let refused = RefusedEvent.rejection(of: event, in: origin.arena, sqlState: sqlState)
        var kept = isFirst ? submissions.map { $0.withoutEvents($0.rejections, bytes: $0.bytes) } : []
        kept.append(origin.withoutEvents([refused], bytes: 0))
        var plan = FlushPlan(kept, recent: RecentKeys(capacity: 1))
        if isFirst { plan.duplicates = duplicates }
        return plan
    }
}
