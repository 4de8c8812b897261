import Access
import CoreMetrics
import HTTP
import Ingest
import Insight
import Jobs
import Logging
import Postgres
import Reactor
import Server
import Spool
import Workers

/// The running service: every part of the program, made in the order in which they need each other, and ended
/// in the opposite one.
///
///     database → node (lease, queue, workers) → writers → routes → listeners → a signal → back again
struct Service {
    private let configuration: ServiceConfiguration
    private let logger: Logger
    private let metrics: PrometheusMetrics
    private let loops: [EventLoop]
    /// Of all servers.
    private let load = ServerLoad()
    private let notice = StopNotice()
    private let connectionsMax: Int

    /// Runs the service until a signal ends it; returns the program's exit code.
    static func run(_ configuration: ServiceConfiguration) async -> Int32 {
        let logger = Logger(label: "millrace")
        do throws(ServiceFailure) {
            let service = try Service(configuration, logger: logger)
            return try await service.run()
        } catch {
            logger.critical("the service cannot run", metadata: ["reason": "\(error.message)"])
            Output.complain("millrace: \(error.message)")
            return error.code
        }
    }

    private init(_ configuration: ServiceConfiguration, logger: Logger) throws(ServiceFailure) {
        self.configuration = configuration
        self.logger = logger
        metrics = Metrics.bootstrap()
        connectionsMax = Self.connectionsMax(configuration, logger)
        do throws(SystemError) {
            var loops: [EventLoop] = []
            for index in 0..<configuration.loops { loops.append(try EventLoop(name: "loop-\(index)")) }
            self.loops = loops
        } catch {
            throw ServiceFailure(Exit.failure, "no event loop: \(error)")
        }
    }

    /// As many connections as are wanted, or as there are descriptors for: one too many gets an answer then,
    /// and workers and the database stay reachable.
    private static func connectionsMax(_ configuration: ServiceConfiguration, _ logger: Logger) -> Int {
        // A worker has two pipes and a pidfd; the rest has some thirty, and room to begin anew.
        let reserve = 96 + 8 * (configuration.workers + configuration.writers + configuration.loops)
        let room = max(1, ProcessSetup.raiseDescriptorLimit() - reserve)
        if room < configuration.connectionsMax {
            logger.warning(
                "the limit of open files (ulimit -n) allows fewer connections than --max-connections",
                metadata: ["max-connections": "\(configuration.connectionsMax)", "connections": "\(room)"]
            )
        }
        return min(configuration.connectionsMax, room)
    }

    /// Where everything but other loops' connections lives.
    private var loop: EventLoop { loops[0] }

    private func run() async throws(ServiceFailure) -> Int32 {
        let lock = try lockData()
        let events = try await ServiceEvents(loop: loop)
        let spool = lock == nil ? nil : await ServiceSpool.open(configuration, logger: logger)
        let database = try await ServiceDatabase.open(configuration, loop: loop, logger: logger)
        let node: ServiceNode
        let servers: [HTTPServer]
        let reading: ServiceReading
        let keys: ServiceKeys
        let monitor: LoopMonitor
        do throws(ServiceFailure) {
            node = try await ServiceNode.start(
                configuration,
                database: database,
                spool: spool,
                loop: loop,
                logger: logger,
                onFenced: { events.send(.fenced) }
            )
            reading = ServiceReading.start(
                metrics,
                configuration,
                database,
                node,
                load: load,
                notice: notice,
                loop: loop,
                logger: logger
            )
            keys = try await ServiceKeys.start(database, reloads: events.reloads, loop: loop, logger: logger)
            let router = Self.router(node, reading, keys)
            for route in router.entries { logger.debug("route", metadata: Self.facts(of: route)) }
            monitor = try watchLoops(router)
            servers = try await listen(router, keys)
        } catch {
            await database.close(deadline: .after(configuration.drainTimeout))
            throw error
        }
        announce(servers)
        let stop = ServiceStop(
            configuration,
            events: events,
            notice: notice,
            servers: servers,
            node: node,
            loop: loop,
            logger: logger
        )
        let code = await stop.run()
        await keys.stop()
        monitor.stop()
        await reading.stop()
        await spool?.close()
        await database.close(deadline: .after(configuration.drainTimeout))
        logger.notice("stopped")
        withExtendedLifetime(lock) {}
        return code
    }

    private func announce(_ servers: [HTTPServer]) {
        for (target, server) in zip(configuration.listen, servers) {
            switch target {
            case .tcp: Output.say("listening on http://\(server.address)")
            case .unix: Output.say("listening on \(target)")
            }
        }
    }

    /// Claims the folder of the service.
    ///
    /// Returns `nil` where there is none and, the database being elsewhere, no need of one.
    private func lockData() throws(ServiceFailure) -> FileLock? {
        let path = configuration.data + "/lock"
        do throws(SystemError) {
            try ProcessSetup.makeDirectory(configuration.data)
            return try FileLock(path: path)
        } catch {
            if error.call != "flock", configuration.database != nil {
                logger.notice(
                    "running without a folder",
                    metadata: ["path": "\(path)", "reason": "\(error)"]
                )
                return nil
            }
            throw ServiceFailure(
                Exit.failure,
                error.call == "flock" ? "another service holds the lock \(path)" : "\(path): \(error)"
            )
        }
    }

    private static func router(_ node: ServiceNode, _ reading: ServiceReading, _ keys: ServiceKeys) -> Router
    {
        var router = Router()
        node.ingest.add(to: &router)
        node.rejects.add(to: &router)
        node.analyses.routes.add(to: &router)
        reading.routes.add(to: &router)
        keys.routes.add(to: &router)
        return router
    }

    /// A route for the log: what the service answers, and with which scope of a key.
    private static func facts(of route: Router.Entry) -> Logger.Metadata {
        let scopes: [String]
        switch route.access {
        case .anyone: scopes = []
        case .scope(let needed): scopes = needed.names
        }
        return [
            "method": "\(route.method.name)", "path": "\(route.pattern)",
            "scope": "\(scopes.joined(separator: " "))",
        ]
    }

    /// Measures the loops' turns, and logs those that hold up all connections of a loop.
    private func watchLoops(_ router: Router) throws(ServiceFailure) -> LoopMonitor {
        let turns = Timer(label: "millrace_loop_turn_seconds")
        for loop in loops {
            loop.observeTurns { turn in
                let (seconds, attoseconds) = turn.components
                turns.recordNanoseconds(seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000)
            }
        }
        do throws(SystemError) {
            return try LoopMonitor(loops) { stall in
                logger.warning(
                    "an event loop is held up",
                    metadata: [
                        "loop": "\(stall.loop)", "route": "\(router.pattern(label: stall.label) ?? "none")",
                        "milliseconds": "\(Int(stall.lasted / .milliseconds(1)))",
                        "backtrace": "\(stall.backtrace.joined(separator: " ← "))",
                    ]
                )
            }
        } catch {
            throw ServiceFailure(Exit.failure, "no monitor of the event loops: \(error)")
        }
    }

    private func listen(_ router: Router, _ keys: ServiceKeys) async throws(ServiceFailure) -> [HTTPServer] {
        var servers: [HTTPServer] = []
        for target in configuration.listen {
            var settings = HTTPServerConfiguration()
            switch target {
            case .tcp(let address):
                (settings.host, settings.port) = (address.host, address.port)
                settings.expectsProxyHeader = configuration.expectsProxyHeader
            case .unix(let path): settings.socketPath = path
            }
            settings.access = AccessControl(ring: keys.ring, isOpen: configuration.isOpen)
            settings.proxies = configuration.proxies
            settings.load = load
            if configuration.accessLogEvery > 0 {
                let logger = Logger(label: "millrace.access")
                settings.accessLog = AccessLog(logger, every: configuration.accessLogEvery)
            }
            settings.limits.connectionsMax = connectionsMax
            settings.limits.connectionsPerAddressMax = configuration.connectionsPerAddressMax
            do throws(SystemError) {
                servers.append(try await HTTPServer(settings, router: router, loops: loops, logger: logger))
            } catch {
                // Those that listen already leave no socket behind.
                for server in servers { await server.drain(deadline: .now()) }
                throw ServiceFailure(Exit.failure, "cannot listen on \(target): \(error)")
            }
        }
        if !configuration.isOpen, !keys.ring.hasKeys {
            logger.notice(
                "only clients on this machine are answered until there is a key; --open lets everyone in"
            )
        }
        return servers
    }
}

/// Why the service does not run, and the exit code that says so.
struct ServiceFailure: Error {
    let code: Int32
    let message: String

    init(_ code: Int32, _ message: String) {
        self.code = code
        self.message = message
    }
}
