import Events
import HTTP
import Reactor

/// What one replay does at most; whoever wants more calls again.
package struct ReplayLimits: Sendable {
    /// Rejects, and bytes of them.
    package var countMax = 10_000
    package var bytesMax = 64 << 20
    /// When no further page is begun.
    package var time = Duration.seconds(20)
    /// Rejects and bytes of one transaction.
    package var pageCountMax = 500
    package var pageBytesMax = 1 << 20
    /// Rejects that stay and are told with the reason.
    package var errorsMax = 100

    package init() {}
}

/// One call of `POST /v1/rejects/replay`: reads rejects page by page, decodes them as their requests were,
/// and has those that are valid now stored.
///
/// Nothing is held between pages. A transaction is one page's; when it was undone because a reject is gone,
/// what is left is tried again, and when it was because PostgreSQL refuses an event, its halves are.
struct RejectReplay {
    struct Request: Equatable, Sendable {
        var filter: RejectFilter
        /// Rejects up to this number are left out.
        var after: Int64 = 0
        var isDryRun = false
    }

    /// What has become of the rejects: `matched` is the sum of the other counts.
    struct Outcome: Sendable {
        var matched = 0
        var stored = 0
        var duplicates = 0
        /// Still invalid; they stay.
        var rejected = 0
        /// Gone already, by another replay or a deletion.
        var skipped = 0
        /// Why rejects stay, for the first of them.
        var errors: [(n: Int64, rejection: Rejection)] = []
        /// The number up to which rejects were looked at, when there may be more.
        var after: Int64?
    }

    private let request: Request
    private let actor: String
    private let requestID: RequestID
    private let route: RejectRoutes
    private(set) var outcome = Outcome()

    init(_ request: Request, by actor: String, requestID: RequestID, route: RejectRoutes) {
        self.request = request
        self.actor = actor
        self.requestID = requestID
        self.route = route
    }

    /// Does the work, up to the limits.
    mutating func run() async throws(RejectError) {
        let due = Deadline.after(route.limits.time)
        var missing = try await missing()
        var after = request.after
        var bytes = 0
        while true {
            if outcome.matched >= route.limits.countMax || bytes >= route.limits.bytesMax
                || Deadline.now() >= due
            {
                outcome.after = after
                break
            }
            let page = try await route.store.next(
                request.filter,
                after: after,
                countMax: min(route.limits.pageCountMax, route.limits.countMax - outcome.matched),
                bytesMax: route.limits.pageBytesMax
            )
            guard let last = page.last else { break }
            outcome.matched += page.count
            bytes += page.reduce(0) { $0 + $1.raw.count }
            try await replay(page)
            after = last.reject.n
        }
        // Those behind the place reached are told by the call that gets there.
        if let end = outcome.after { missing.removeAll { $0 > end } }
        outcome.matched += missing.count
        outcome.skipped += missing.count
    }

    /// The numbers asked for that no reject has.
    private func missing() async throws(RejectError) -> [Int64] {
        guard let ids = request.filter.ids?.filter({ $0 > request.after }), !ids.isEmpty else { return [] }
        let present = try await route.store.present(ids)
        return ids.filter { !present.contains($0) }
    }

    private mutating func replay(_ page: [RejectStore.Entry]) async throws(RejectError) {
        var left = page
        while !left.isEmpty {
            let (arena, valid) = decode(left)
            if valid.isEmpty { return }
            if request.isDryRun {
                outcome.stored += valid.count
                return
            }
            do throws(IngestError) {
                let rejects = valid.map(\.reject)
                let verdicts = try await route.ingestor.replay(
                    arena,
                    of: rejects,
                    by: actor,
                    requestID: requestID
                )
                outcome.stored += verdicts.count { $0 == .stored }
                outcome.duplicates += verdicts.count { $0 == .duplicate }
                return
            } catch {
                guard case .replayUndone(let fault) = error else { throw .ingest(error) }
                switch fault {
                case .gone: left = try await stillThere(valid)
                case .refused(let sqlState): return try await split(valid, arena, sqlState: sqlState)
                }
            }
        }
    }

    /// Decodes the rejects; those that are still invalid are counted and left out.
    private mutating func decode(_ entries: [RejectStore.Entry]) -> (EventArena, [RejectStore.Entry]) {
        let now = WallClock.microseconds()
        var context = DecodeContext(receivedAt: now, ids: route.seeds.generator())
        let standard = context.defaultSource
        var arena = EventArena()
        var valid: [RejectStore.Entry] = []
        for (index, entry) in entries.enumerated() {
            context.isStrict = entry.decoding.isStrict
            context.defaultSource = entry.decoding.defaultSource.map { Array($0.utf8) } ?? standard
            // What came may have been longer: its beginning alone might read as an event that nobody sent.
            if entry.raw.count >= route.decoder.limits.rejectBytesMax {
                route.decoder.rejectTooLarge(entry.raw.span, index: Int32(index), into: &arena)
            } else {
                route.decoder.decode(entry.raw.span, index: Int32(index), context: &context, into: &arena)
            }
            if let rejection = arena.rejections.popLast() {
                keep(entry, rejection)
            } else {
                valid.append(entry)
            }
        }
        return (arena, valid)
    }

    private mutating func keep(_ entry: RejectStore.Entry, _ rejection: Rejection) {
        outcome.rejected += 1
        if outcome.errors.count >= route.limits.errorsMax { return }
        var told = rejection
        told.raw = []
        outcome.errors.append((entry.reject.n, told))
    }

    private mutating func stillThere(
        _ entries: [RejectStore.Entry]
    ) async throws(RejectError)
        -> [RejectStore.Entry]
    {
        let present = try await route.store.present(entries.map(\.reject.n))
        let left = entries.filter { present.contains($0.reject.n) }
        // One was gone in a transaction that has committed, so this shrinks and ends.
        if left.count == entries.count { throw .unavailable("a reject was gone and is there again") }
        outcome.skipped += entries.count - left.count
        return left
    }

    /// Tries the halves each on its own, so that what PostgreSQL refuses stays alone in the end.
    private mutating func split(
        _ entries: [RejectStore.Entry],
        _ arena: EventArena,
        sqlState: String
    ) async throws(RejectError) {
        if entries.count == 1 {
            let event = arena.records[0]
            keep(entries[0], RefusedEvent.rejection(of: event, in: arena, sqlState: sqlState))
            return
        }
        let middle = entries.count / 2
        try await replay(Array(entries[..<middle]))
        try await replay(Array(entries[middle...]))
    }
}
