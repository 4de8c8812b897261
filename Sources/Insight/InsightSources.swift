package import Events
import HTTP
package import Reactor
import Server

/// What the read side learns from other parts of the program.
package struct InsightSources: Sendable {
    package var node: NodeFacts
    /// This node's workers, as they are now.
    package var workers: @Sendable () async -> [WorkerFacts]
    /// Whether events can be taken.
    package var readiness: @Sendable () async -> Readiness
    /// Events that this node refused because of overload, since its start.
    package var shed: @Sendable () -> Int64
    /// Memory and CPU of this process, for `/metrics`.
    package var process: @Sendable () -> ProcessFacts
    /// The key, as a UUID's text, that an event of this source and id has in the table `events`.
    package var eventKey: @Sendable (_ source: String, _ id: String) -> String
    /// Further values that are looked up when `/metrics` is asked for.
    package var gauges: @Sendable () -> [GaugeFact] = { [] }

    /// What this node's spool holds; `nil` without one.
    package var spool: @Sendable () -> SpoolFigures? = { nil }

    /// What this node's spool says of the event of this id, and source where one is asked for.
    package var spooledReceipt: @Sendable (String, String?) async -> SpooledReceiptFacts = { _, _ in .absent }

    /// Sources; each closure is called when a request needs it, and must be quick.
    package init(
        node: NodeFacts,
        workers: @escaping @Sendable () async -> [WorkerFacts],
        readiness: @escaping @Sendable () async -> Readiness,
        shed: @escaping @Sendable () -> Int64,
        process: @escaping @Sendable () -> ProcessFacts,
        eventKey: @escaping @Sendable (_ source: String, _ id: String) -> String
    ) {
        self.node = node
        self.workers = workers
        self.readiness = readiness
        self.shed = shed
        self.process = process
        self.eventKey = eventKey
    }
}

/// A number that somebody keeps anyway, for `/metrics`.
package struct GaugeFact: Equatable, Sendable {
    package let name: String
    package let value: Double

    /// The gauge `name` as it is now.
    package init(_ name: String, _ value: Double) {
        self.name = name
        self.value = value
    }
}

/// What does not change while a node runs.
package struct NodeFacts: Sendable {
    package let name: String
    package let version: String
    /// Microseconds since 1970.
    package let startedAt: Int64
    /// The same moment on the clock that never jumps.
    package let started: Deadline
    /// `embedded` or `external`.
    package let databaseKind: String
    /// The timer of swift-metrics that Ingest records its requests with.
    package let ingestTimer: String

    /// Facts about a node that starts now, unless said otherwise.
    package init(
        name: String,
        version: String,
        databaseKind: String,
        ingestTimer: String = "millrace_ingest_duration_seconds",
        startedAt: Int64 = WallClock.microseconds(),
        started: Deadline = .now()
    ) {
        self.name = name
        self.version = version
        self.databaseKind = databaseKind
        self.ingestTimer = ingestTimer
        self.startedAt = startedAt
        self.started = started
    }

    var uptime: Duration { Deadline.now().duration(since: started) }
}

/// One worker of this node's pool.
package struct WorkerFacts: Equatable, Sendable {
    package var slot: Int
    package var pid: Int32?
    package var state: String
    package var jobID: Int64?
    package var jobKind: String?
    package var jobAge: Duration?
    package var jobsDone: Int
    package var restarts: Int
    package var age: Duration?
    package var residentBytes: Int64?

    /// A worker with what is known about it.
    package init(
        slot: Int,
        pid: Int32? = nil,
        state: String,
        jobID: Int64? = nil,
        jobKind: String? = nil,
        jobAge: Duration? = nil,
        jobsDone: Int = 0,
        restarts: Int = 0,
        age: Duration? = nil,
        residentBytes: Int64? = nil
    ) {
        self.slot = slot
        self.pid = pid
        self.state = state
        self.jobID = jobID
        self.jobKind = jobKind
        self.jobAge = jobAge
        self.jobsDone = jobsDone
        self.restarts = restarts
        self.age = age
        self.residentBytes = residentBytes
    }
}

/// What a node's spool holds.
package struct SpoolFigures: Equatable, Sendable {
    /// Events that are not in the database yet.
    package var events: Int64
    package var bytes: Int64
    package var segments: Int64
    package var isFull: Bool
    /// Whether events go to the spool because the database cannot take them.
    package var isDatabaseAway: Bool
    /// Events, among those, of records that the database refuses and that others were let past.
    package var withheldEvents: Int64 = 0

    package init(events: Int64, bytes: Int64, segments: Int64, isFull: Bool, isDatabaseAway: Bool) {
        self.events = events
        self.bytes = bytes
        self.segments = segments
        self.isFull = isFull
        self.isDatabaseAway = isDatabaseAway
    }

    /// The same for `/metrics`.
    package var gauges: [GaugeFact] {
        [
            GaugeFact("millrace_spool_events", Double(events)),
            GaugeFact("millrace_spool_bytes", Double(bytes)),
            GaugeFact("millrace_spool_withheld_events", Double(withheldEvents)),
            GaugeFact("millrace_spool_full", isFull ? 1 : 0),
            GaugeFact("millrace_breaker_open", isDatabaseAway ? 1 : 0),
        ]
    }

    func write(to writer: inout JSONWriter) {
        writer.key("spool")
        writer.beginObject()
        writer.member("events", events)
        writer.member("bytes", bytes)
        writer.member("segments", segments)
        writer.member("withheld", withheldEvents)
        writer.member("full", isFull)
        writer.member("breaker", isDatabaseAway ? "open" : "closed")
        writer.endObject()
    }
}

/// What a node's spool says of an event that a receipt is asked for.
package enum SpooledReceiptFacts: Equatable, Sendable {
    /// It waits for the database.
    case event(SpooledEventFacts)
    /// It was refused, and waits to be among the rejects.
    case rejection(Rejection, receivedAt: Int64)
    case absent
    /// It may be there: the spool holds more than it can look up.
    case unknown

    /// Writes the receipt; `false` when there is nothing to say.
    func write(to writer: inout JSONWriter) -> Bool {
        switch self {
        case .event(let event): event.writeReceipt(to: &writer)
        case .rejection(let rejection, let receivedAt):
            RejectReceipt(rejection, receivedAt: receivedAt).write(to: &writer)
        case .absent, .unknown: return false
        }
        return true
    }
}

/// An event in a node's spool.
package struct SpooledEventFacts: Equatable, Sendable {
    package var id: String
    package var source: String
    package var type: String
    package var subject: String?
    /// Microseconds since 1970.
    package var time: Int64
    package var receivedAt: Int64

    package init(
        id: String,
        source: String,
        type: String,
        subject: String?,
        time: Int64,
        receivedAt: Int64
    ) {
        self.id = id
        self.source = source
        self.type = type
        self.subject = subject
        self.time = time
        self.receivedAt = receivedAt
    }

    /// Writes the receipt: what the event is, and where; the rest is told once the database has it.
    func writeReceipt(to writer: inout JSONWriter) {
        writer.beginObject()
        writer.member("id", id)
        writer.member("source", source)
        writer.member("type", type)
        writer.member("subject", subject)
        writer.member("time", time: time)
        writer.member("received_at", time: receivedAt)
        writer.member("verdict", "spooled")
        writer.endObject()
    }
}

/// Whether the service can take events, or why not.
package struct Readiness: Equatable, Sendable {
    /// Why events cannot be taken; none when they can.
    package var reasons: [String]
    /// `up` or `away`: with a spool events can be taken all the same.
    package var database: String

    /// The state with these reasons against it.
    package init(reasons: [String], database: String) {
        self.reasons = reasons
        self.database = database
    }

    var response: Response {
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("status", reasons.isEmpty ? "ready" : "unready")
        writer.member("database", database)
        if !reasons.isEmpty {
            writer.key("reasons")
            writer.beginArray()
            for reason in reasons { writer.string(reason) }
            writer.endArray()
        }
        writer.endObject()
        return Response(
            status: reasons.isEmpty ? 200 : 503,
            fields: reasons.isEmpty ? [] : [("Retry-After", "1")],
            bytes: writer.finish()
        )
    }
}

/// Bounds of what one request reads; what would exceed one is refused or comes in parts.
package struct InsightLimits: Sendable {
    /// `/v1/stats` and a sample.
    package var statsTimeout = Duration.seconds(2)
    /// One page of events, a receipt, or a whole series.
    package var readTimeout = Duration.seconds(10)
    /// Types in `/v1/stats`; they are the most frequent ones.
    package var typesMax = 1_000
    /// Ways in and keys in `/v1/stats`; the keys are those with the most events.
    package var accountSumsMax = 100
    /// Accounts in an answer of `/v1/accounts`; a question about more is refused.
    package var accountsMax = 10_000
    package var seriesPointsMax = 10_000
    /// Rows with sketches read at once: 250 take about a millisecond to decode and merge.
    package var seriesRowsMax = 250
    /// Types, sources or subjects in a ranking.
    package var rankingLimitMax = 1_000
    package var rankingLimitDefault = 20
    package var eventsLimitMax = 1_000
    package var eventsLimitDefault = 100
    /// A page of the list ends early once it holds this much.
    package var listBytesMax = 8 * 1_024 * 1_024
    package var rejectsLimitMax = 1_000
    package var rejectsLimitDefault = 100
    /// Raw bytes after which a page of rejects ends early; as JSON they may be several times as many.
    package var rejectsBytesMax = 2 * 1_024 * 1_024
    /// What one query of an export is sized for, by the events before it.
    package var pageBytesAimed = 1_024 * 1_024
    package var pageRowsFirst = 128
    package var pageRowsMax = 1_000
    /// Bytes of a parameter's value: the largest source.
    package var parameterBytesMax = 1_024
    /// Who may listen to the statistics at once.
    ///
    /// 503 above.
    package var listenersMax = 1_000
    /// Seconds of samples that are kept.
    package var samplesMax = 900

    /// The defaults.
    package init() {}
}
