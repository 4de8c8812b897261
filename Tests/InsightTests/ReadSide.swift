import Analytics
import Events
import HTTP
import Postgres
import Reactor
import Server
import TestSupport
import Testing

@testable import Insight

/// The routes over a database of the test's own.
struct ReadSide: Sendable {
    let routes: InsightRoutes
    let sampler: TotalsSampler
    let metrics: PrometheusMetrics
    let writer: PostgresConnection

    /// Runs `body` on the database's loop, as the connections of the server would.
    static func with(
        _ limits: InsightLimits = InsightLimits(),
        spooled: @escaping @Sendable (String, String?) -> SpooledReceiptFacts = { _, _ in .absent },
        _ body: @escaping @Sendable (ReadSide) async throws -> Void
    ) async throws {
        try await TestCluster.withDatabase { database in
            let writer = try await database.connect()
            _ = try await Migrator().migrate(on: writer, deadline: TestCluster.deadline)
            for keeper in [PartitionKeeper.events, .rejects] {
                _ = try await keeper.ensure(on: writer, deadline: TestCluster.deadline)
            }
            var configuration = database.configuration
            configuration.isReadOnly = true
            let pool = PostgresPool(
                configuration,
                size: 2,
                name: "read",
                loop: database.loop,
                logger: TestCluster.logger
            )
            let metrics = PrometheusMetrics()
            let sampler = TotalsSampler(
                reader: pool,
                metrics: metrics,
                latencyTimer: "millrace_ingest_duration_seconds",
                limits: limits,
                loop: database.loop,
                logger: TestCluster.logger
            )
            var sources = InsightSources(
                node: NodeFacts(name: "n\"1", version: "1.2.3", databaseKind: "embedded"),
                workers: {
                    [WorkerFacts(slot: 0, pid: 7, state: "busy", jobID: 9, jobKind: "rollup", jobsDone: 3)]
                },
                readiness: { Readiness(reasons: [], database: "up") },
                shed: { 4 },
                process: { ProcessFacts(residentBytes: 1_024, cpuSeconds: 0.5) },
                eventKey: { String(decoding: formatUUID(key($0, $1)), as: UTF8.self) }
            )
            sources.spooledReceipt = { spooled($0, $1) }
            sources.gauges = { [GaugeFact("millrace_http_buffered_bytes", 17)] }
            let side = ReadSide(
                routes: InsightRoutes(
                    reader: pool,
                    sampler: sampler,
                    metrics: metrics,
                    sources: sources,
                    limits: limits
                ),
                sampler: sampler,
                metrics: metrics,
                writer: writer
            )
            try await OnLoop(database.loop).run { try await body(side) }
            await pool.close()
            await writer.close()
        }
    }

    /// Some function of both, like the one that Ingest has.
    static func key(_ source: String, _ id: String) -> UInt128 {
        let high = hash64(Array("\(source)\u{1}\(id)".utf8).span)
        return UInt128(high) << 64 | UInt128(hash64(Array(id.utf8).span))
    }

    @discardableResult
    func run(_ sql: String, _ parameters: [String?] = []) async throws -> PostgresResult {
        try await writer.query(sql, parameters, deadline: TestCluster.deadline)
    }

    /// Stores an event as Ingest would; without `id` the key is the id.
    func store(
        id: String?,
        key: UInt128? = nil,
        at time: Int64,
        type: String = "t",
        source: String = "/s",
        subject: String? = nil,
        attributes: String? = nil,
        data: String? = nil,
        bytes: String? = nil
    ) async throws {
        let key = key ?? Self.key(source, id ?? "")
        try await run(
            """
            INSERT INTO events VALUES ($1::uuid, $2::timestamptz, '2026-11-20T00:00:00.5Z',
              $3, $4, $5, $6, $7::jsonb, $8::jsonb, decode($9, 'hex'), 0, 0)
            """,
            [
                String(decoding: formatUUID(key), as: UTF8.self), EventFilter.text(time), type, source,
                subject, id,
                attributes, data, bytes,
            ]
        )
    }

    func parameters(_ query: String, _ allowed: Set<String>) throws -> ReadParameters {
        try ReadParameters(QueryItems(Array(query.utf8).span), allowed: allowed)
    }

    func events(_ query: String, accept: String = "") async throws -> Response {
        let accepted = AcceptedTypes(Array(accept.utf8).span)
        return try await routes.events(parameters(query, EventsQuery.parameters), accepted: accepted)
    }

    func series(_ query: String) async throws -> String {
        text(try await routes.series(parameters(query, SeriesQuery.parameters)))
    }

    func ranking(_ column: RankingQuery.Column, _ query: String) async throws -> String {
        let parameters = try parameters(query, RankingQuery.parameters(column))
        let now = WallClock.microseconds()
        return text(
            try await routes.ranking(RankingQuery(column, parameters, now: now, limits: routes.limits))
        )
    }

    func rejects(_ query: String) async throws -> String {
        text(try await routes.rejects(parameters(query, RejectsQuery.parameters)))
    }

    func receipt(_ id: String, _ query: String = "") async throws -> String {
        text(try await routes.receipt(id: id, parameters(query, ["source"])))
    }

    func stats(_ query: String = "") async throws -> String {
        text(try await routes.stats(parameters(query, ["recent"])))
    }
}

/// A moment of the month before the tests were written, which any database of theirs takes.
let morning: Int64 = 1_795_000_020_000_000

func text(_ response: Response) -> String {
    if case .bytes(let bytes) = response.body { return String(decoding: bytes, as: UTF8.self) }
    return ""
}
