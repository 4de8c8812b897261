package import Events

/// One piece of work for a worker process.
package struct WorkerJob: Sendable {
    package var id: Int64
    /// The lease's fencing token; it travels to the worker and comes back in the reply.
    package var token: Int64
    package var kind: String
    /// How long the worker may take, from the first byte written to it.
    package var timeout: Duration
    package var attempt: Int
    package var crashes: Int
    /// Events in `body`.
    package var items: Int
    package var lo: Int64
    package var hi: Int64
    /// How `body` is to be read: "ndjson", "json" or "cbor".
    package var encoding: String
    package var body: [UInt8]
    /// An analysis' parameters; an object.
    package var parameters: JSONValue?
    /// The trace that it belongs to, as `traceparent` (W3C Trace Context).
    package var trace: String?
    /// Where the rest of the body comes from, for a body that nobody could hold.
    package var feed: (any JobFeed)?

    package init(
        id: Int64,
        token: Int64,
        kind: String,
        timeout: Duration,
        attempt: Int = 1,
        crashes: Int = 0,
        items: Int = 0,
        lo: Int64 = 0,
        hi: Int64 = 0,
        encoding: String = "ndjson",
        body: [UInt8] = [],
        parameters: JSONValue? = nil,
        trace: String? = nil,
        feed: (any JobFeed)? = nil
    ) {
        self.id = id
        self.token = token
        self.kind = kind
        self.timeout = timeout
        self.attempt = attempt
        self.crashes = crashes
        self.items = items
        self.lo = lo
        self.hi = hi
        self.encoding = encoding
        self.body = body
        self.parameters = parameters
        self.trace = trace
        self.feed = feed
    }
}

extension WorkerJob {
    /// What names the trace in ``trace``: its second part.
    package var traceID: Substring? { trace.flatMap { Self.traceID(in: $0) } }

    /// What names the trace in a `traceparent`.
    package static func traceID(in trace: String) -> Substring? {
        trace.split(separator: "-", maxSplits: 2).dropFirst().first
    }
}

/// The body of a job in pieces, each of which is asked for when the worker has taken the one before.
///
/// So the pipe holds it up: a feed, the pool and the worker each have one piece at a time.
package protocol JobFeed: Sendable {
    /// The next piece; not asked for again after the end, a failure or the end of the job.
    func next() async -> FeedPiece
}

/// What a ``JobFeed`` gives.
package enum FeedPiece: Equatable, Sendable {
    case bytes([UInt8])
    case end
    /// The job cannot be fed just now; it is given back through no fault of its own.
    case failed(reason: String)
}

/// Why a job did not give a result; the queue decides by it what happens next.
package enum FailureCause: String, Equatable, Hashable, Sendable, CaseIterable {
    /// The worker says that it failed; another attempt may succeed.
    case error
    /// The worker says that no attempt can succeed.
    case permanent
    /// Somebody cancelled it.
    case cancelled
    /// The worker process ended, or broke the protocol, before it answered.
    case crash
    /// The time was up; the process was killed.
    case timeout
    /// It was given back unfinished through no fault of its own.
    case drained
}

/// What became of a job.
package enum WorkerOutcome: Equatable, Sendable {
    case result(encoding: String, body: [UInt8])
    case failed(cause: FailureCause, message: String)
}
