import HTTP
import Reactor
import Server

// GET /v1/stats

extension InsightRoutes {
    /// The statistics as they are now; while the database is away, as they were when it was last there.
    func stats(_ parameters: ReadParameters) async throws(ReadError) -> Response {
        let recent = try parameters.integer("recent", in: 1...limits.samplesMax)
        var failure: ReadError?
        var fresh: StatsSnapshot?
        var accounts: AccountSums?
        do throws(ReadError) {
            fresh = try await StatsSnapshot.read(over: reader, limits: limits)
            accounts = try await AccountSums.read(over: reader, limits: limits)
        } catch {
            failure = error
        }
        let now = Deadline.now()
        let view = await sampler.view(at: now)
        guard let snapshot = fresh ?? view.snapshot else {
            throw failure ?? .corrupt("there are no statistics")
        }
        var answer = await answer(snapshot, isFresh: fresh != nil, view, at: now)
        answer.recent = recent
        answer.accounts = accounts
        return Response(fields: [("Cache-Control", "no-store")], bytes: answer.json())
    }

    func answer(
        _ snapshot: StatsSnapshot,
        isFresh: Bool,
        _ view: TotalsSampler.View,
        at now: Deadline
    ) async -> StatsAnswer {
        StatsAnswer(
            snapshot: snapshot,
            isFresh: isFresh,
            view: view,
            latency: latency(since: view.ring.base(of: .seconds(60))?.latency),
            workers: await sources.workers(),
            shed: sources.shed(),
            spool: sources.spool(),
            node: sources.node,
            now: now
        )
    }

    /// This node's ingest requests of the last minute, or since its start where that is later.
    private func latency(since base: Histogram?) -> Histogram? {
        guard let all = metrics.histogram(sources.node.ingestTimer) else { return nil }
        return base.map { all.since($0) } ?? all
    }
}

/// The object of `/v1/stats`.
struct StatsAnswer {
    let snapshot: StatsSnapshot
    /// Whether the snapshot was read just now; otherwise it is the sampler's last one.
    let isFresh: Bool
    let view: TotalsSampler.View
    let latency: Histogram?
    let workers: [WorkerFacts]
    let shed: Int64
    let spool: SpoolFigures?
    let node: NodeFacts
    /// How many seconds of rates to list.
    var recent: Int?
    /// Of the last hour; `nil` while the database is away, and for those who listen every second.
    var accounts: AccountSums?
    let now: Deadline

    func json() -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        totals(&writer)
        rates(&writer)
        quantiles(&writer)
        types(&writer)
        accounts?.write(to: &writer)
        analytics(&writer)
        workers(&writer)
        database(&writer)
        spool?.write(to: &writer)
        node(&writer)
        writer.endObject()
        return writer.finish()
    }

    private func totals(_ writer: inout JSONWriter) {
        writer.key("totals")
        writer.beginObject()
        writer.member("received", snapshot.totals.received)
        writer.member("stored", snapshot.totals.stored)
        writer.member("duplicates", snapshot.totals.duplicates)
        writer.member("rejected", snapshot.totals.rejected)
        writer.member("shed", shed)
        writer.member("spooled", spool?.events ?? 0)
        writer.member("bytes", snapshot.totals.bytes)
        writer.endObject()
    }

    private func rates(_ writer: inout JSONWriter) {
        writer.key("rates")
        writer.beginObject()
        for (name, seconds) in [("1s", 1), ("1m", 60), ("5m", 300), ("15m", 900)] {
            writer.member(name, rounded: view.ring.rate(over: .seconds(seconds), at: now))
        }
        writer.endObject()
        guard let recent else { return }
        writer.key("recent")
        writer.beginArray()
        for rate in view.ring.recent(seconds: recent, at: now) { writer.rounded(rate) }
        writer.endArray()
    }

    private func quantiles(_ writer: inout JSONWriter) {
        writer.key("latency")
        writer.beginObject()
        for (name, q) in [("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99)] {
            writer.member(name, rounded: latency?.quantile(q).map { $0 * 1_000 })
        }
        writer.member("requests", Int64(clamping: latency?.count ?? 0))
        writer.member("window_s", 60)
        writer.endObject()
    }

    private func types(_ writer: inout JSONWriter) {
        writer.member("types_count", snapshot.typesCount)
        writer.key("types")
        writer.beginArray()
        for type in snapshot.types {
            writer.beginObject()
            writer.member("type", type.type)
            writer.member("count", type.count)
            writer.member("last_at", time: type.lastAt)
            writer.endObject()
        }
        writer.endArray()
    }

    private func analytics(_ writer: inout JSONWriter) {
        let queue = snapshot.queue
        writer.key("analytics")
        writer.beginObject()
        writer.member("lag_s", rounded: queue.lagSeconds)
        writer.member("lag_events", snapshot.lagEvents)
        writer.key("jobs")
        writer.beginObject()
        writer.member("ready", queue.ready)
        writer.member("leased", queue.leased)
        writer.member("scheduled", queue.scheduled)
        writer.member("paused", queue.paused)
        writer.member("dead", queue.dead)
        writer.endObject()
        writer.endObject()
    }

    private func workers(_ writer: inout JSONWriter) {
        writer.key("workers")
        writer.beginArray()
        for worker in workers {
            writer.beginObject()
            writer.member("slot", worker.slot)
            writer.member("pid", worker.pid.map { Int64($0) })
            writer.member("state", worker.state)
            writer.member("job", worker.jobID)
            writer.member("kind", worker.jobKind)
            writer.member("job_age_s", rounded: worker.jobAge?.seconds)
            writer.member("jobs_done", worker.jobsDone)
            writer.member("restarts", worker.restarts)
            writer.member("age_s", rounded: worker.age?.seconds)
            writer.member("rss_bytes", worker.residentBytes)
            writer.endObject()
        }
        writer.endArray()
    }

    private func database(_ writer: inout JSONWriter) {
        writer.key("database")
        writer.beginObject()
        writer.member("state", isFresh ? "up" : "away")
        writer.member("kind", node.databaseKind)
        writer.member("version", Self.version(snapshot.serverVersion))
        if !isFresh {
            // The numbers above are that old.
            writer.member("stale_s", rounded: view.age.seconds)
        }
        writer.endObject()
    }

    private func node(_ writer: inout JSONWriter) {
        writer.key("node")
        writer.beginObject()
        writer.member("name", node.name)
        writer.member("version", node.version)
        writer.member("started_at", time: node.startedAt)
        writer.member("uptime_s", rounded: now.duration(since: node.started).seconds)
        writer.endObject()
    }

    /// 150018 is 15.18.
    private static func version(_ number: Int) -> String { "\(number / 10_000).\(number % 10_000)" }
}
