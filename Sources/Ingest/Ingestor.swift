// Ingest: from a request's body to rows that PostgreSQL has committed, and back to the answer.
//
// IngestRoute reads a body whole, StreamedBody one that never needs to be whole; both decode it with Events
// into arenas of records and rejections. The ``Ingestor`` gives each event its key (``PreparedEvent``) and
// sends it to the writer that the key names. A ``Writer`` gathers submissions (``BatchState``), plans a flush
// (``FlushPlan``), and gets it stored by ``Flush``: straight COPY first, the dedup path behind it, bisection
// around what PostgreSQL refuses. A verdict for each event comes back, after the commit, and becomes the
// answer (``IngestAnswer``).

package import Events
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
    private let writers: [Writer]
    private let limits: EventLimits
    let metrics: IngestMetrics

    /// Makes the writers, on `loop`; ``start()`` lets them write.
    package init(_ configuration: IngestConfiguration, hooks: WriterHooks, loop: EventLoop, logger: Logger) {
        precondition(!configuration.streams.isEmpty, "events need a writer")
        var database = configuration.database
        database.sessionSetup += FlushStatement.sessionSetup
        let metrics = IngestMetrics()
        self.metrics = metrics
        limits = configuration.events
        writers = configuration.streams.enumerated().map { index, stream in
            Writer(
                stream: stream,
                connection: PostgresConnection(database, name: "writer-\(index)", loop: loop, logger: logger),
                limits: configuration.batch,
                loop: loop,
                hooks: hooks,
                metrics: metrics,
                logger: logger
            )
        }
    }

    package func start() async {
        for writer in writers { await writer.start() }
    }

    /// Writes what has queued and ends; what is submitted afterwards is refused.
    package func stop() async {
        await withTaskGroup { group in
            for writer in writers { group.addTask { await writer.stop() } }
        }
    }

    /// Requests refused because of overload since the start.
    package var requestsShed: Int64 { metrics.requestsShed }

    /// Whether a request would be refused, to say so before its body is read.
    func isOverloaded() async -> Bool {
        for writer in writers where await writer.isFull { return true }
        return false
    }

    /// Stores an arena's records and keeps its rejections.
    ///
    /// Returns a verdict for each record, in order.
    ///
    /// With `waits` it waits for room in the queue rather than fail.
    func store(
        _ arena: EventArena,
        requestID: String,
        receivedAt: Int64,
        bytes: Int,
        waits: Bool
    ) async throws(IngestError) -> [Verdict] {
        let parts = distribute(arena, receivedAt: receivedAt)
        let busy = parts.indices.filter { !parts[$0].isEmpty }
        let first = busy.first ?? Int(truncatingIfNeeded: receivedAt.magnitude) % writers.count
        // One writer, the rule for single events: no task, no join.
        if busy.count <= 1 {
            let submission = Submission(
                arena: arena,
                events: parts[first],
                rejections: arena.rejections,
                requestID: requestID,
                receivedAt: receivedAt,
                bytes: bytes
            )
            return try await writers[first].submit(submission, waits: waits).get()
        }
        return try await storeInParts(
            arena,
            parts,
            busy,
            requestID: requestID,
            receivedAt: receivedAt,
            bytes: bytes,
            waits: waits
        )
    }

    private func storeInParts(
        _ arena: EventArena,
        _ parts: [[PreparedEvent]],
        _ busy: [Int],
        requestID: String,
        receivedAt: Int64,
        bytes: Int,
        waits: Bool
    ) async throws(IngestError) -> [Verdict] {
        let outcomes = await withTaskGroup(of: (Int, Result<[Verdict], IngestError>).self) { group in
            for (order, index) in busy.enumerated() {
                // The totals need the bytes once; the rejections go with them.
                let share = order == 0 ? bytes - bytes / busy.count * (busy.count - 1) : bytes / busy.count
                let submission = Submission(
                    arena: arena,
                    events: parts[index],
                    rejections: order == 0 ? arena.rejections : [],
                    requestID: requestID,
                    receivedAt: receivedAt,
                    bytes: share
                )
                group.addTask { (index, await writers[index].submit(submission, waits: waits)) }
            }
            var outcomes: [(Int, Result<[Verdict], IngestError>)] = []
            for await outcome in group { outcomes.append(outcome) }
            return outcomes
        }
        var verdicts = [Verdict](repeating: .stored, count: arena.records.count)
        for (index, outcome) in outcomes {
            for (event, verdict) in zip(parts[index], try outcome.get()) { verdicts[event.record] = verdict }
        }
        return verdicts
    }

    /// Gives each record its key and its writer: both copies of a retry meet at the same one.
    private func distribute(_ arena: EventArena, receivedAt: Int64) -> [[PreparedEvent]] {
        let oldest = limits.retentionMicroseconds.map { receivedAt - $0 } ?? Int64.min
        let clockRange = oldest...receivedAt + limits.futureMicrosecondsMax
        var parts = [[PreparedEvent]](repeating: [], count: writers.count)
        for position in arena.records.indices {
            let event = PreparedEvent(position, of: arena, receivedAt: receivedAt, clockRange: clockRange)
            parts[Int(truncatingIfNeeded: (event.key >> 6) % UInt128(writers.count))].append(event)
        }
        return parts
    }
}
