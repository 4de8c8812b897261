import Events
import HTTP
import Postgres
import Reactor
import TestSupport
import Testing

@testable import Ingest

/// A node with rejects, and what replays and deletes them.
struct RejectDesk: Sendable {
    let installation: Installation
    let node: Node
    let routes: RejectRoutes

    /// Lends a desk on an installation of its own.
    static func with(
        limits: ReplayLimits = ReplayLimits(),
        _ body: (RejectDesk) async throws -> Void
    ) async throws {
        try await Installation.with { installation in
            try await installation.withNode { node in
                try await installation.withDesk(of: node, limits: limits, body)
            }
            try await installation.expectJobsCoverEvents()
        }
    }

    // MARK: Rejects

    /// Has valid events refused, for a type that their key may not send, and others for their own faults.
    func refuse(
        _ texts: [String],
        receivedAt: Int64 = WallClock.microseconds(),
        decoding: DecodingMode = DecodingMode(),
        requestID: String = "request"
    ) async throws {
        var context = DecodeContext(
            receivedAt: receivedAt,
            isStrict: decoding.isStrict,
            ids: UUIDv7Generator(seed: .random(in: 0 ... .max))
        )
        if let source = decoding.defaultSource { context.defaultSource = Array(source.utf8) }
        context.allowedTypes = [Array("none".utf8)]
        var arena = EventArena()
        for (index, text) in texts.enumerated() {
            routes.decoder.decode(Array(text.utf8).span, index: Int32(index), context: &context, into: &arena)
        }
        try #require(arena.rejections.count == texts.count)
        _ = try await node.ingestor.store(
            arena,
            requestID: RequestID(requestID),
            receivedAt: receivedAt,
            bytes: texts.reduce(0) { $0 + $1.utf8.count },
            sender: 7,
            decoding: decoding,
            waits: false
        )
    }

    /// The numbers of all rejects.
    func numbers() async throws -> [Int64] {
        try await installation.sql("SELECT n FROM rejects ORDER BY n").compactMap {
            $0[0].flatMap { Int64($0) }
        }
    }

    /// Returns once so much waits for the writers.
    func waitForQueue(moreThan bytes: Int) async throws {
        let deadline = TestCluster.deadline
        while node.ingestor.pendingBytes <= bytes {
            if Deadline.now() >= deadline { throw Installation.WaitedTooLong() }
            await Task.yield()
        }
    }

    // MARK: Replays

    /// Every reject, unless said otherwise.
    static var all: RejectFilter {
        var filter = RejectFilter()
        filter.from = 0
        return filter
    }

    func replay(
        _ filter: RejectFilter = all,
        after: Int64 = 0,
        isDryRun: Bool = false
    ) async throws -> RejectReplay.Outcome {
        let request = RejectReplay.Request(filter: filter, after: after, isDryRun: isDryRun)
        var replay = RejectReplay(request, by: "key:'1'", requestID: RequestID("replay"), route: routes)
        try await replay.run()
        let outcome = replay.outcome
        #expect(
            outcome.matched == outcome.stored + outcome.duplicates + outcome.rejected + outcome.skipped
        )
        return outcome
    }
}

extension RejectReplay.Outcome {
    /// The counts matched, stored, duplicates, rejected, skipped.
    var counts: [Int] { [matched, stored, duplicates, rejected, skipped] }
}

extension Installation {
    func withDesk(
        of node: Node,
        limits: ReplayLimits = ReplayLimits(),
        _ body: (RejectDesk) async throws -> Void
    ) async throws {
        let store = RejectStore(database.configuration, loop: database.loop, logger: TestCluster.logger)
        let routes = RejectRoutes(node.ingestor, node.configuration, store: store, limits: limits)
        do {
            try await body(RejectDesk(installation: self, node: node, routes: routes))
            await store.close()
        } catch {
            await store.close()
            throw error
        }
    }

    /// What no dry run and no undone replay may change.
    func everything() async throws -> [[String?]] {
        try await sql(
            """
            SELECT 'event', key::text || ts || received_at || seq FROM events
            UNION ALL SELECT 'key', key::text || ts FROM event_keys
            UNION ALL SELECT 'reject', n::text || received_at || code FROM rejects
            UNION ALL SELECT 'audit', n::text FROM audit
            UNION ALL SELECT 'stream', concat_ws(' ', received, stored, duplicates, rejected) FROM streams
            ORDER BY 1, 2
            """
        )
    }
}
