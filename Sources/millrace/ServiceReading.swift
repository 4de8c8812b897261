import Glibc
import Ingest
import Insight
import Logging
import Postgres
import Reactor
import Server

/// The read side of a running service: its connections, its sampler and its routes.
struct ServiceReading: Sendable {
    let routes: InsightRoutes
    private let reader: PostgresPool
    private let sampling: Task<Void, Never>

    private static let connections = 3
    private static let statementTimeout = Duration.seconds(10)

    static func start(
        _ metrics: PrometheusMetrics,
        _ configuration: ServiceConfiguration,
        _ database: ServiceDatabase,
        _ node: ServiceNode,
        load: ServerLoad,
        notice: StopNotice,
        loop: EventLoop,
        logger: Logger
    ) -> ServiceReading {
        var settings = database.configuration
        settings.isReadOnly = true
        settings.statementTimeout = statementTimeout
        let reader = PostgresPool(settings, size: connections, name: "read", loop: loop, logger: logger)
        let facts = NodeFacts(name: configuration.name, version: Program.version, databaseKind: database.kind)
        let sampler = TotalsSampler(
            reader: reader,
            metrics: metrics,
            latencyTimer: facts.ingestTimer,
            loop: loop,
            logger: logger
        )
        var sources = node.sources(facts, reader: reader)
        let takesEvents = sources.readiness
        sources.readiness = {
            var readiness = await takesEvents()
            if notice.isGiven { readiness.reasons.insert("draining", at: 0) }
            return readiness
        }
        let spool = sources.spool
        sources.gauges = {
            [GaugeFact("millrace_http_buffered_bytes", Double(load.bufferedBytes))] + (spool()?.gauges ?? [])
        }
        let routes = InsightRoutes(
            reader: reader,
            sampler: sampler,
            metrics: metrics,
            sources: sources
        )
        // Ended by `stop`.
        let sampling = Task(executorPreference: loop) {
            await sampler.run { await routes.sendLiveStats() }
        }
        return ServiceReading(routes: routes, reader: reader, sampling: sampling)
    }

    func stop() async {
        sampling.cancel()
        await sampling.value
        await reader.close()
    }

    /// Ready while events can be taken: by the database, or by a spool that has room.
    static func readiness(of reader: PostgresPool, spool: SpoolStatus?) async -> Readiness {
        do throws(PostgresError) {
            _ = try await reader.query("SELECT 1", deadline: .after(.seconds(1)))
            return Readiness(reasons: [], database: "up")
        } catch {
            guard let spool else {
                return Readiness(reasons: ["PostgreSQL cannot be reached"], database: "away")
            }
            let reasons = spool.isFull ? ["PostgreSQL cannot be reached", "the spool is full"] : []
            return Readiness(reasons: reasons, database: "away")
        }
    }

    static func processFacts() -> ProcessFacts {
        do throws(SystemError) {
            var reader = try FileReader(path: "/proc/self/stat")
            let text = String(decoding: try reader.readAll(bytesMax: 1 << 16), as: UTF8.self)
            return ProcessFacts(
                stat: text,
                ticksPerSecond: sysconf(CInt(_SC_CLK_TCK)),
                pageBytes: sysconf(CInt(_SC_PAGESIZE))
            )
                ?? ProcessFacts()
        } catch {
            return ProcessFacts()
        }
    }
}
