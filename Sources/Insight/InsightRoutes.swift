// Insight: the read side.
//
// Requests come in by the routes below and are answered from three places: the database, over a lane of
// read-only connections of its own (Stats, Series, Events, Rejects); the program's metrics (Metrics); the
// pages built into the binary (Dashboard). Nothing here writes to the database or waits for the write path.
// What only others know — workers, readiness, the node itself — comes in as closures: ``InsightSources``.
//
//  route → ReadParameters (what was asked, checked) → reader (SQL) → JSONWriter → Response

import HTTP
package import Postgres
import Reactor
package import Server

/// What the routes of the read side work with.
package struct InsightRoutes: Sendable {
    let reader: PostgresPool
    let sampler: TotalsSampler
    let metrics: PrometheusMetrics
    let sources: InsightSources
    let limits: InsightLimits
    /// Who listens to the statistics.
    let live: EventHub

    /// Routes that read over `reader`, whose connections are read-only and have a statement timeout.
    package init(
        reader: PostgresPool,
        sampler: TotalsSampler,
        metrics: PrometheusMetrics,
        sources: InsightSources,
        limits: InsightLimits = InsightLimits()
    ) {
        self.reader = reader
        self.sampler = sampler
        self.metrics = metrics
        self.sources = sources
        self.limits = limits
        live = EventHub(listenersMax: limits.listenersMax, queuedMax: 1)
    }

    /// Adds the routes.
    package func add(to router: inout Router) {
        add("/v1/stats", to: &router, statsAnswer)
        add("/v1/stats/live", to: &router, liveAnswer)
        add("/v1/stats/series", to: &router, seriesAnswer)
        for column in [RankingQuery.Column.type, .source, .subject] {
            add("/v1/stats/\(column.plural)", to: &router) { request throws(ReadError) in
                try await rankingAnswer(column, request)
            }
        }
        add("/v1/accounts", to: &router, accountsAnswer)
        add("/v1/events", to: &router, eventsAnswer)
        add("/v1/events/{id}", to: &router, receiptAnswer)
        add("/v1/rejects", to: &router, rejectsAnswer)
        add("/v1/rejects/{n}", to: &router, rejectAnswer)
        router.add(.get, "/healthz", for: .anyone) { _, _ in Self.health }
        router.add(.get, "/readyz", for: .anyone) { _, _ in await sources.readiness().response }
        router.add(.get, "/metrics", for: .scope(.read)) { _, _ in metricsText() }
        for page in StaticPage.all {
            router.add(.get, page.path, for: .anyone) { request, _ in
                page.response(ifNoneMatch: request.ifNoneMatch)
            }
        }
    }

    private func add(
        _ pattern: String,
        to router: inout Router,
        _ answer: @escaping @Sendable (Request) async throws(ReadError) -> Response
    ) {
        router.add(.get, pattern, for: .scope(.read)) { request, _ in
            do throws(ReadError) {
                return try await answer(request)
            } catch {
                return error.response(requestID: request.id)
            }
        }
    }

    private func statsAnswer(_ request: Request) async throws(ReadError) -> Response {
        try await stats(ReadParameters(request, allowed: ["recent"]))
    }

    private func liveAnswer(_ request: Request) async throws(ReadError) -> Response {
        try liveStats(ReadParameters(request, allowed: []))
    }

    private func seriesAnswer(_ request: Request) async throws(ReadError) -> Response {
        try await series(ReadParameters(request, allowed: SeriesQuery.parameters))
    }

    private func rankingAnswer(
        _ column: RankingQuery.Column,
        _ request: Request
    ) async throws(ReadError) -> Response {
        let parameters = try ReadParameters(request, allowed: RankingQuery.parameters(column))
        let now = WallClock.microseconds()
        return try await ranking(RankingQuery(column, parameters, now: now, limits: limits))
    }

    private func accountsAnswer(_ request: Request) async throws(ReadError) -> Response {
        try await accounts(ReadParameters(request, allowed: AccountsQuery.parameters))
    }

    private func eventsAnswer(_ request: Request) async throws(ReadError) -> Response {
        let parameters = try ReadParameters(request, allowed: EventsQuery.parameters)
        return try await events(parameters, accepted: request.acceptedTypes)
    }

    private func receiptAnswer(_ request: Request) async throws(ReadError) -> Response {
        let parameters = try ReadParameters(request, allowed: ["source"])
        return try await receipt(id: request.parameters["id"] ?? "", parameters)
    }

    private func rejectsAnswer(_ request: Request) async throws(ReadError) -> Response {
        try await rejects(ReadParameters(request, allowed: RejectsQuery.parameters))
    }

    private func rejectAnswer(_ request: Request) async throws(ReadError) -> Response {
        _ = try ReadParameters(request, allowed: [])
        return try await reject(request.parameters["n"] ?? "")
    }

    static let health = Response(bytes: Array(#"{"status":"ok"}"#.utf8))

    func metricsText() -> Response {
        var text = PrometheusText()
        metrics.write(to: &text)
        let node = sources.node
        text.begin("millrace_build_info", type: "gauge")
        text.sample(
            "millrace_build_info",
            PrometheusText.labels([("version", node.version), ("node", node.name)]),
            1
        )
        text.begin("millrace_uptime_seconds", type: "gauge")
        text.sample("millrace_uptime_seconds", "", node.uptime.seconds)
        text.begin("process_start_time_seconds", type: "gauge")
        text.sample("process_start_time_seconds", "", Double(node.startedAt) / 1e6)
        for gauge in sources.gauges() + [GaugeFact("millrace_stats_listeners", Double(live.listeners))] {
            text.begin(gauge.name, type: "gauge")
            text.sample(gauge.name, "", gauge.value)
        }
        write(sources.process(), to: &text)
        return Response(contentType: PrometheusText.contentType, bytes: text.bytes)
    }

    private func write(_ process: ProcessFacts, to text: inout PrometheusText) {
        func gauge(_ name: String, _ type: String, _ value: Double?) {
            guard let value else { return }
            text.begin(name, type: type)
            text.sample(name, "", value)
        }
        gauge("process_resident_memory_bytes", "gauge", process.residentBytes.map(Double.init))
        gauge("process_cpu_seconds_total", "counter", process.cpuSeconds)
        gauge("process_open_fds", "gauge", process.openDescriptors.map(Double.init))
    }
}

extension Request {
    fileprivate var acceptedTypes: AcceptedTypes {
        let list = head.list(.accept) ?? []
        return AcceptedTypes(list.span)
    }

    fileprivate var ifNoneMatch: String? {
        head.list(.ifNoneMatch).map { String(decoding: $0, as: UTF8.self) }
    }
}

extension ReadParameters {
    fileprivate init(_ request: Request, allowed: Set<String>) throws(ReadError) {
        let items: QueryItems
        do throws(TargetError) {
            items = try request.query()
        } catch {
            throw .target(error)
        }
        try self.init(items, allowed: allowed)
    }
}

extension Duration {
    var seconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
