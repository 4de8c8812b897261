import CoreMetrics
import Glibc
package import Logging
package import Reactor

/// A private PostgreSQL below the service's data directory: made at the first start, kept running, stopped on
/// demand.
///
/// The server is not killed with the service: it would have to recover each time, and nothing is lost by its
/// living on. A service that starts again adopts it.
package actor EmbeddedCluster {
    private enum Phase: Equatable {
        /// To starting.
        case idle
        /// To running, idle after a failure, or stopped.
        case starting
        /// Supervised: restarted when it dies. To stopped.
        case running
        /// For good.
        case stopped
    }

    private let configuration: EmbeddedClusterConfiguration
    private let loop: EventLoop
    private let logger: Logger
    private let restartsCounter = Counter(label: "millrace_postgres_embedded_restarts_total")
    private var phase = Phase.idle
    private var postmaster: Postmaster?
    private var supervisor: Task<Void, Never>?
    /// What the server's build allows; `nil` until it was asked.
    private var walCompression: String?
    /// Times that the server was started again after it had died.
    package private(set) var restarts = 0

    nonisolated package var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// The folder of the server programs that a cluster of `configuration` would be run with.
    package static func programs(
        for configuration: EmbeddedClusterConfiguration
    ) throws(EmbeddedClusterError) -> String {
        try ClusterLayout.findPrograms(data: configuration.data, searchPath: configuration.searchPath)
    }

    /// Describes a cluster; nothing is touched before ``start(deadline:)``.
    package init(_ configuration: EmbeddedClusterConfiguration, loop: EventLoop, logger: Logger) {
        self.configuration = configuration
        self.loop = loop
        self.logger = logger
    }

    /// The server's process; `nil` while there is none.
    package var postmasterPID: Int32? { postmaster?.pid }

    /// Whether this service found the server running rather than started it.
    package var isAdopted: Bool {
        if case .adopted = postmaster { true } else { false }
    }

    // MARK: Starting

    /// Makes the cluster where there is none, starts or adopts its server and returns the connection string
    /// once it answers.
    package func start(deadline: Deadline) async throws(EmbeddedClusterError) -> String {
        precondition(phase == .idle, "a cluster is started once")
        phase = .starting
        do throws(EmbeddedClusterError) {
            let programs = ClusterPrograms(
                layout: try ClusterLayout.prepare(configuration),
                configuration: configuration,
                loop: loop
            )
            if !programs.layout.isInitialized {
                logger.notice(
                    "creating the embedded database",
                    metadata: ["path": "\(programs.layout.cluster)"]
                )
                try await programs.initialize(deadline)
            }
            try await bringUp(programs, deadline)
            try await makeDatabase(programs.layout, deadline)
            if phase != .starting { throw .stopped }
            phase = .running
            // Ends with stop().
            supervisor = Task(executorPreference: loop) { await self.supervise(programs) }
            return programs.layout.conninfo(database: configuration.database, user: configuration.database)
        } catch {
            if phase == .starting { phase = .idle }
            // What we have started must not stay behind a service that gives up; what we found is not ours to
            // end.
            if case .child(let child) = postmaster { child.signal(SIGINT) }
            throw error
        }
    }

    /// Adopts the running server or starts one, until it answers.
    private func bringUp(
        _ programs: ClusterPrograms,
        _ deadline: Deadline
    ) async throws(EmbeddedClusterError) {
        var pause = configuration.backoffMin
        while true {
            let logOffset = programs.logSize
            try await startPostmaster(programs)
            if try await untilAnswering(programs.layout, deadline) { return }
            // It has ended: backends of a killed postmaster may still be leaving (their shared memory is in
            // use).
            if phase != .starting { throw .stopped }
            if pause > .seconds(2) || Deadline.after(pause) >= deadline {
                throw .failed("PostgreSQL did not start: \(programs.endOfLog(from: logOffset))")
            }
            await loop.sleep(until: .after(pause))
            pause *= 2
        }
    }

    private func startPostmaster(_ programs: ClusterPrograms) async throws(EmbeddedClusterError) {
        let directory = programs.layout.cluster
        if let found = PostmasterFile.running(in: directory) {
            postmaster = .adopted(pid: found.pid, directory: directory)
            logger.notice("found the embedded PostgreSQL running", metadata: ["pid": "\(found.pid)"])
            return
        }
        PostmasterFile.removeIfReused(in: directory)
        if walCompression == nil { walCompression = await programs.findWALCompression() }
        if phase == .stopped { throw .stopped }
        let child = try programs.startServer(walCompression: walCompression ?? "on")
        postmaster = .child(child)
        logger.info("started the embedded PostgreSQL", metadata: ["pid": "\(child.pid)"])
    }

    /// `true` once the server takes sessions, `false` when it has ended.
    private func untilAnswering(
        _ layout: ClusterLayout,
        _ deadline: Deadline
    ) async throws(EmbeddedClusterError) -> Bool {
        let probe = makeProbe(layout)
        var failure: PostgresError?
        while let postmaster, postmaster.isRunning {
            if phase == .stopped { throw .stopped }
            do throws(PostgresError) {
                try await probe.connect(deadline: min(deadline, .after(.seconds(5))))
                await probe.close()
                return true
            } catch {
                failure = error
            }
            if Deadline.now() >= deadline {
                throw .timedOut("the embedded PostgreSQL does not answer: \(failure?.description ?? "")")
            }
            await loop.sleep(until: .after(.milliseconds(25)))
        }
        return false
    }

    private func makeDatabase(
        _ layout: ClusterLayout,
        _ deadline: Deadline
    ) async throws(EmbeddedClusterError) {
        let name = configuration.database
        let probe = makeProbe(layout)
        do throws(PostgresError) {
            try await probe.connect(deadline: deadline)
            let found = try await probe.query(
                "SELECT 1 FROM pg_database WHERE datname = $1",
                [name],
                deadline: deadline
            )
            if found.rows.isEmpty { _ = try await probe.query("CREATE DATABASE \(name)", deadline: deadline) }
            await probe.close()
        } catch {
            await probe.close()
            throw .failed("the database \(name) could not be made: \(error)")
        }
    }

    private func makeProbe(_ layout: ClusterLayout) -> PostgresConnection {
        let conninfo = layout.conninfo(database: "postgres", user: configuration.database)
        return PostgresConnection(
            PostgresConfiguration(conninfo: conninfo),
            name: "probe",
            loop: loop,
            logger: logger
        )
    }

    // MARK: Supervision

    /// Starts the server again whenever it ends, ever more slowly while it ends at once.
    private func supervise(_ programs: ClusterPrograms) async {
        var pause = configuration.backoffMin
        while phase == .running {
            let started = Deadline.now()
            await postmaster?.untilExit(on: loop)
            if phase != .running { return }
            if Deadline.now().duration(since: started) > .seconds(60) { pause = configuration.backoffMin }
            logger.error("the embedded PostgreSQL has ended", metadata: ["log": "\(programs.layout.log)"])
            await loop.sleep(until: .after(pause))
            pause = min(pause * 2, configuration.backoffMax)
            if phase != .running { return }
            do throws(EmbeddedClusterError) {
                try await startPostmaster(programs)
                restarts += 1
                restartsCounter.increment()
            } catch {
                logger.error("the embedded PostgreSQL cannot be started", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Stops the server: sessions are cut, what is committed stays; at the deadline at once, with a recovery
    /// to come.
    package func stop(deadline: Deadline) async {
        phase = .stopped
        supervisor?.cancel()
        supervisor = nil
        guard let postmaster, postmaster.isRunning else { return }
        postmaster.signal(SIGINT)
        // Ends at the deadline or with the server.
        let escalation = Task(executorPreference: loop) {
            await self.signal(SIGQUIT, at: deadline)
        }
        await postmaster.untilExit(on: loop)
        escalation.cancel()
        logger.info("stopped the embedded PostgreSQL")
    }

    /// Lets go of the server without stopping it, as a service does that is killed.
    package func abandon() {
        phase = .stopped
        supervisor?.cancel()
        supervisor = nil
    }

    private func signal(_ signal: CInt, at deadline: Deadline) async {
        await loop.sleep(until: deadline)
        if !Task.isCancelled { postmaster?.signal(signal) }
    }
}
