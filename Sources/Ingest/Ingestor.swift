// Ingest: from a request's body to rows that PostgreSQL has committed, and back to the answer.
//
// IngestRoute reads a body whole, StreamedBody one that never needs to be whole; both decode it with Events
// into arenas of records and rejections. The ``Ingestor`` gives each event its key (``PreparedEvent``) and
// puts them into the ``WriteQueue``, which gathers submissions (``BatchState``) and plans flushes
// (``FlushPlan``). A ``Writer`` gets one stored by ``Flush``: straight into the table first, the dedup path
// behind it, once more without the rows that PostgreSQL refuses. A verdict for each event comes back, after
// the commit, and becomes the answer (``IngestAnswer``).

package import Events
import HTTP
package import Logging
package import Postgres
package import Reactor
package import Spool

/// How events are written.
package struct IngestConfiguration: Sendable {
    /// Streams of this node, one a writer, as the node's registration gave them.
    package var streams: [Int64]
    package var database: PostgresConfiguration
    package var batch = BatchLimits()
    /// Where events go while the database is away; its draining takes the last of the streams.
    package var spool: Spool?
    package var diversion = DiversionLimits()
    package var events = EventLimits()
    package var dedup = DedupRule.time
    /// The largest body that is not streamed, inflated.
    package var bodyBytesMax = 16 << 20
    /// Events of one body that is not streamed: each costs memory beyond its bytes.
    package var bodyEventsMax = 100_000

    package init(streams: [Int64], database: PostgresConfiguration) {
        self.streams = streams
        self.database = database
    }
}

/// What the spool holds, and why.
package struct SpoolStatus: Equatable, Sendable {
    package let facts: SpoolFacts
    package var isFull: Bool { facts.isFull }
    /// Whether flushes go to the spool because the last one could not be stored.
    package let isDatabaseAway: Bool
}

/// Stores decoded events, each once.
package struct Ingestor: Sendable {
    private let queue: WriteQueue
    private let lane: SpoolLane?
    private let drain: SpoolDrain?
    private let dedup: DedupRule
    let metrics: IngestMetrics

    /// Makes the writers, on `loop`; ``start()`` lets them write.
    package init(_ configuration: IngestConfiguration, hooks: WriterHooks, loop: EventLoop, logger: Logger) {
        let lane = configuration.spool.map { SpoolLane(spool: $0) }
        precondition(configuration.streams.count > (lane == nil ? 0 : 1), "events need a writer")
        let metrics = IngestMetrics()
        self.metrics = metrics
        self.lane = lane
        dedup = configuration.dedup
        var database = configuration.database
        database.sessionSetup += FlushStatement.sessionSetup
        var limits = configuration.batch
        if lane != nil {
            limits.flushTimeout = min(limits.flushTimeout, configuration.diversion.flushTimeout)
        }
        let maker = WriterMaker(
            database: database,
            limits: limits,
            patience: lane == nil ? limits.flushTimeout : configuration.diversion.reconnectPatience,
            hooks: hooks,
            metrics: metrics,
            loop: loop,
            logger: logger
        )
        var writers: [Writer] = []
        for (index, stream) in configuration.streams.dropLast(lane == nil ? 0 : 1).enumerated() {
            writers.append(maker.make(stream, name: "writer-\(index)"))
        }
        queue = WriteQueue(
            writers: writers,
            limits: limits,
            lane: lane,
            breaker: configuration.diversion.breaker,
            loop: loop,
            hooks: hooks,
            metrics: metrics,
            logger: logger
        )
        drain = lane.map { [queue] lane in
            SpoolDrain(
                lane,
                queue: queue,
                writer: maker.make(configuration.streams[configuration.streams.count - 1], name: "drain"),
                connection: PostgresConnection(
                    configuration.database,
                    name: "spool",
                    loop: loop,
                    logger: logger
                ),
                limits: configuration.diversion,
                metrics: metrics,
                loop: loop,
                logger: logger
            )
        }
    }

    package func start() async {
        await queue.start()
        await drain?.start()
    }

    /// Writes what has queued and ends; what is submitted afterwards is refused.
    ///
    /// What is in the spool stays there.
    package func stop() async {
        await queue.stop()
        await drain?.stop()
    }

    /// What the spool holds; `nil` without one.
    package var spoolStatus: SpoolStatus? {
        lane.map { SpoolStatus(facts: $0.spool.facts, isDatabaseAway: queue.isAway) }
    }

    /// What the spool knows of an event that is not in the database.
    ///
    /// To be asked *before* the database: what is drained in between is in either.
    package func spooledReceipt(id: String, source: String?) async -> SpooledReceipt {
        guard let lane else { return .absent }
        return await SpooledEvents.receipt(id: id, source: source, in: lane.spool)
    }

    /// Requests refused because of overload since the start.
    package var requestsShed: Int64 { metrics.requestsShed }

    /// Bytes that wait to be written.
    var pendingBytes: Int { queue.pendingBytes }

    /// Whether a request would be refused, to say so before its body is read.
    var isOverloaded: Bool { queue.isFull }

    /// Whether a request would find neither the database nor room in the spool.
    var isSpoolFull: Bool { queue.isAway && lane?.isFull ?? true }

    /// Stores an arena's records and keeps its rejections.
    ///
    /// Returns a verdict for each record, in order, and where they are.
    ///
    /// With `waits` it waits for room in the queue rather than fail. With `isAtomic` a rejection is one of
    /// all: the valid events are then ``Verdict/aborted``.
    func store(
        _ arena: EventArena,
        requestID: RequestID,
        receivedAt: Int64,
        bytes: Int,
        sender: Int64? = nil,
        decoding: DecodingMode = DecodingMode(),
        isAtomic: Bool = false,
        trace: String? = nil,
        acknowledgement: IngestOptions.Acknowledgement = .committed,
        waits: Bool
    ) async throws(IngestError) -> Kept {
        let isAborted = isAtomic && !arena.rejections.isEmpty
        var submission = Submission(
            arena: arena,
            events: isAborted
                ? []
                : arena.records.indices.map {
                    PreparedEvent($0, of: arena, receivedAt: receivedAt, dedup: dedup)
                },
            rejections: arena.rejections,
            requestID: requestID,
            receivedAt: receivedAt,
            bytes: bytes,
            sender: sender,
            trace: trace
        )
        submission.decoding = decoding
        submission.isAtomic = isAtomic
        submission.aborted = isAborted ? arena.records.count : 0
        var kept = try await keep(submission, acknowledgement, waits: waits)
        if isAborted { kept.verdicts = arena.records.map { _ in .aborted } }
        return kept
    }

    /// Stores the arena's records, which are these rejects' events in the same order, and takes the rejects
    /// away, in one transaction of their own.
    ///
    /// - Throws: ``IngestError/replayUndone(_:)`` when one of the rejects is gone or PostgreSQL refuses an
    ///   event: then nothing has changed.
    func replay(
        _ arena: EventArena,
        of rejects: [ReplayedReject],
        by actor: String,
        requestID: RequestID
    ) async throws(IngestError) -> [Verdict] {
        precondition(
            arena.records.count == rejects.count && arena.rejections.isEmpty,
            "a replay has an event for each reject and nothing else"
        )
        var submission = Submission(
            arena: arena,
            events: rejects.enumerated().map { position, reject in
                PreparedEvent(position, of: arena, receivedAt: reject.receivedAt, dedup: dedup)
            },
            rejections: [],
            requestID: requestID,
            receivedAt: WallClock.microseconds(),
            bytes: 0
        )
        submission.route = .replay
        submission.replay = Replay(rejects: rejects, actor: actor)
        return try await queue.submit(submission, waits: true).get().verdicts
    }

    private func keep(
        _ submission: Submission,
        _ acknowledgement: IngestOptions.Acknowledgement,
        waits: Bool
    ) async throws(IngestError) -> Kept {
        switch acknowledgement {
        case .none: return try await queue.enqueue(submission, waits: waits).get()
        case .spooled:
            // Without a spool, and with one that is full, the database is as good.
            guard let lane, !lane.isFull else { break }
            try await lane.append([submission])
            await queue.noteSpooled()
            return Kept(submission, .spooled)
        case .committed: break
        }
        return try await queue.submit(submission, waits: waits).get()
    }
}

/// Makes writers that have all but their streams in common.
private struct WriterMaker: Sendable {
    let database: PostgresConfiguration
    let limits: BatchLimits
    let patience: Duration
    let hooks: WriterHooks
    let metrics: IngestMetrics
    let loop: EventLoop
    let logger: Logger

    func make(_ stream: Int64, name: String) -> sending Writer {
        let flush = Flush(
            stream: stream,
            connection: PostgresConnection(database, name: name, loop: loop, logger: logger),
            patience: patience,
            metrics: metrics,
            logger: logger
        )
        return Writer(flush, limits: limits, hooks: hooks, logger: logger)
    }
}
