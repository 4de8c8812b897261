// Ingest: from a request's body to rows that PostgreSQL has committed, and back to the answer.
//
// IngestRoute reads a body whole, StreamedBody one that never needs to be whole; both decode it with Events
// into arenas of records and rejections. The ``Ingestor`` gives each event its key (``PreparedEvent``) and
// puts them into the ``WriteQueue``, which gathers submissions (``BatchState``) and plans flushes
// (``FlushPlan``). A ``Writer`` gets one stored by ``Flush``: straight into the table first, the dedup path
// behind it, bisection around what PostgreSQL refuses. A verdict for each event comes back, after the commit,
// and becomes the answer (``IngestAnswer``).

package import Events
import HTTP
package import Logging
package import Postgres
package import Reactor

/// How events are written.
package struct IngestConfiguration: Sendable {
    /// Streams of this node, one a writer, as the node's registration gave them.
    package var streams: [Int64]
    package var database: PostgresConfiguration
    package var batch = BatchLimits()
    package var events = EventLimits()
    /// The largest body that is not streamed, inflated.
    package var bodyBytesMax = 16 << 20
    /// Events of one body that is not streamed: each costs memory beyond its bytes.
    package var bodyEventsMax = 100_000

    package init(streams: [Int64], database: PostgresConfiguration) {
        self.streams = streams
        self.database = database
    }
}

/// Stores decoded events, each once.
package struct Ingestor: Sendable {
    private let queue: WriteQueue
    let metrics: IngestMetrics

    /// Makes the writers, on `loop`; ``start()`` lets them write.
    package init(_ configuration: IngestConfiguration, hooks: WriterHooks, loop: EventLoop, logger: Logger) {
        precondition(!configuration.streams.isEmpty, "events need a writer")
        var database = configuration.database
        database.sessionSetup += FlushStatement.sessionSetup
        let metrics = IngestMetrics()
        self.metrics = metrics
        var writers: [Writer] = []
        for (index, stream) in configuration.streams.enumerated() {
            let flush = Flush(
                stream: stream,
                connection: PostgresConnection(database, name: "writer-\(index)", loop: loop, logger: logger),
                metrics: metrics,
                logger: logger
            )
            writers.append(Writer(flush, limits: configuration.batch, hooks: hooks, logger: logger))
        }
        queue = WriteQueue(
            writers: writers,
            limits: configuration.batch,
            loop: loop,
            hooks: hooks,
            metrics: metrics,
            logger: logger
        )
    }

    package func start() async { await queue.start() }

    /// Writes what has queued and ends; what is submitted afterwards is refused.
    package func stop() async { await queue.stop() }

    /// Requests refused because of overload since the start.
    package var requestsShed: Int64 { metrics.requestsShed }

    /// Bytes that wait to be written.
    var pendingBytes: Int { queue.pendingBytes }

    /// Whether a request would be refused, to say so before its body is read.
    var isOverloaded: Bool { queue.isFull }

    /// Stores an arena's records and keeps its rejections.
    ///
    /// Returns a verdict for each record, in order.
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
        waits: Bool
    ) async throws(IngestError) -> [Verdict] {
        let isAborted = isAtomic && !arena.rejections.isEmpty
        var submission = Submission(
            arena: arena,
            events: isAborted
                ? [] : arena.records.indices.map { PreparedEvent($0, of: arena, receivedAt: receivedAt) },
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
        let verdicts = try await queue.submit(submission, waits: waits).get()
        return isAborted ? arena.records.map { _ in .aborted } : verdicts
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
                PreparedEvent(position, of: arena, receivedAt: reject.receivedAt)
            },
            rejections: [],
            requestID: requestID,
            receivedAt: WallClock.microseconds(),
            bytes: 0
        )
        submission.replay = Replay(rejects: rejects, actor: actor)
        return try await queue.submit(submission, waits: true).get()
    }
}
