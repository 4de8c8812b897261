import CoreMetrics
import Events
package import Logging
package import Postgres
package import Reactor

/// What a process is in the installation: its epoch and the streams that its writers may use.
package struct NodeRegistration: Equatable, Sendable {
    /// A UUID, new at every start.
    package let epoch: String
    /// One number a writer.
    package let streams: [Int64]
}

/// Keeps this process registered; carries out what ``LeaseState`` decides.
///
/// Beats on a connection of its own, so that no other query holds one up. Buries others on a second one.
package actor NodeLease {
    nonisolated private let loop: EventLoop
    nonisolated package let registration: NodeRegistration
    private let connection: PostgresConnection
    private let reaper: Reaper
    private let limits: JobsLimits
    private let logger: Logger
    private let onFenced: @Sendable () async -> Void
    private let origin: Deadline
    private var state: LeaseState
    private var beating: Task<Void, Never>?
    private var sweeping: Task<Void, Never>?
    private let beats = Counter(label: "millrace_node_beats_total")
    private let beatFailures = Counter(label: "millrace_node_beat_failures_total")

    nonisolated package var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// The epoch that this process has for as long as it lives.
    nonisolated package var epoch: String { registration.epoch }

    /// Whether others have declared this node dead.
    package var isFenced: Bool { state.phase == .fenced }

    /// Registers a node of this name with a stream for each of `writers`; it beats after ``start()``.
    ///
    /// `onFenced` is called once when others have declared this node dead: nothing that it has under way will
    /// count.
    package static func register(
        _ configuration: PostgresConfiguration,
        name: String,
        writers: Int,
        limits: JobsLimits = JobsLimits(),
        loop: EventLoop,
        logger: Logger,
        deadline: Deadline,
        onFenced: @escaping @Sendable () async -> Void
    ) async throws(PostgresError) -> NodeLease {
        let connection = PostgresConnection(configuration, name: "lease", loop: loop, logger: logger)
        while true {
            try await connection.ensureConnected(deadline: deadline)
            // New at every attempt: one whose outcome is unknown leaves a node that expires by itself.
            let epoch = randomEpoch()
            do throws(PostgresError) {
                let result = try await connection.query(
                    "SELECT register_node($1::uuid, $2, $3::int, in_marks_levels => true)",
                    [epoch, name, String(writers)],
                    deadline: min(deadline, .after(limits.statement))
                )
                let streams = result.rows.compactMap { $0[0].flatMap { Int64($0) } }
                let registration = NodeRegistration(epoch: epoch, streams: streams)
                return NodeLease(
                    registration,
                    connection,
                    configuration,
                    limits,
                    loop: loop,
                    logger: logger,
                    onFenced: onFenced
                )
            } catch {
                if !error.isOutcomeUnknown || Deadline.now() >= deadline { throw error }
            }
        }
    }

    private init(
        _ registration: NodeRegistration,
        _ connection: PostgresConnection,
        _ configuration: PostgresConfiguration,
        _ limits: JobsLimits,
        loop: EventLoop,
        logger: Logger,
        onFenced: @escaping @Sendable () async -> Void
    ) {
        self.registration = registration
        self.connection = connection
        self.limits = limits
        self.loop = loop
        self.logger = logger
        self.onFenced = onFenced
        origin = .now()
        state = LeaseState(limits: limits.lease, now: .zero)
        let second = PostgresConnection(
            Reaper.configuration(configuration, limits: limits),
            name: "reaper",
            loop: loop,
            logger: logger
        )
        reaper = Reaper(connection: second, limits: limits)
    }

    /// A random UUID (version 4).
    private static func randomEpoch() -> String {
        var value = UInt128.random(in: 0 ... .max)
        value = value & ~(0xF << 76) | 4 << 76
        value = value & ~(0x3 << 62) | 2 << 62
        return String(decoding: formatUUID(value), as: UTF8.self)
    }

    // MARK: Life

    /// Begins to beat.
    package func start() {
        if beating != nil || state.phase != .held { return }
        // Ended by stop(), or by being fenced.
        beating = Task(executorPreference: loop) { await self.beatOn() }
    }

    /// Buries this node's own epoch, when its writers have stopped: what they have not cut becomes jobs.
    ///
    /// Where the database cannot be reached by the deadline, others bury it later.
    package func stop(deadline: Deadline) async {
        beating?.cancel()
        await beating?.value
        beating = nil
        sweeping?.cancel()
        await sweeping?.value
        if state.leave() { await bury(deadline) }
        await connection.close()
        await reaper.connection.close()
    }

    private func bury(_ deadline: Deadline) async {
        while true {
            do throws(PostgresError) {
                try await connection.ensureConnected(deadline: deadline)
                _ = try await connection.query("SELECT bury_node($1::uuid)", [epoch], deadline: deadline)
                return
            } catch {
                if error.isOutcomeUnknown || error.sqlState == "40P01", Deadline.now() < deadline { continue }
                logger.warning("node not deregistered", metadata: ["error": "\(error)"])
                return
            }
        }
    }

    /// Says that this node claims no more; its beats go on.
    package func markDraining() async {
        let isHeld = state.phase == .held
        guard isHeld else { return }
        // Only a courtesy to whoever looks: the dispatcher has stopped claiming anyway.
        _ = try? await connection.query(
            "UPDATE nodes SET draining = true WHERE epoch = $1::uuid",
            [epoch],
            deadline: .after(limits.lease.answer)
        )
    }

    // MARK: Beats

    private var now: Duration { Deadline.now().duration(since: origin) }

    private func beatOn() async {
        while let next = state.nextBeat, !Task.isCancelled {
            await loop.sleep(until: origin.advanced(by: next))
            if Task.isCancelled { return }
            await beat()
            if state.mayReap(now: now) { startSweep() }
        }
    }

    /// One beat, whatever comes of it.
    func beat() async {
        if state.phase != .held { return }
        do throws(PostgresError) {
            let deadline = Deadline.after(limits.lease.answer)
            try await connection.ensureConnected(deadline: deadline)
            let result = try await connection.query(
                "UPDATE nodes SET beat_at = now() WHERE epoch = $1::uuid",
                [epoch],
                deadline: deadline
            )
            if result.affected == 0 {
                fence()
            } else {
                state.beatArrived(now: now)
                beats.increment()
            }
        } catch {
            state.beatFailed(now: now)
            beatFailures.increment()
            logger.debug("beat failed", metadata: ["error": "\(error)"])
        }
    }

    private func fence() {
        guard state.beatFoundNothing() else { return }
        logger.error("this node was declared dead by others", metadata: ["epoch": "\(epoch)"])
        let onFenced = onFenced
        // Ends with the closure. Not awaited: it may well stop this lease, which awaits the beats.
        Task(executorPreference: loop) { await onFenced() }
    }

    // MARK: Others

    private func startSweep() {
        if sweeping != nil { return }
        // Ends with its statements, each of which has a deadline.
        sweeping = Task(executorPreference: loop) { await self.sweep() }
    }

    /// One look at who else is gone.
    func sweep() async {
        let own = epoch
        defer { sweeping = nil }
        do throws(PostgresError) {
            let sweep = try await reaper.sweep(own: own)
            if sweep == Reaper.Sweep() { return }
            logger.notice(
                "buried nodes and ended lost leases",
                metadata: [
                    "nodes": "\(sweep.buried)", "lost": "\(sweep.lost)", "overdue": "\(sweep.overdue)",
                ]
            )
        } catch {
            logger.debug("sweep failed", metadata: ["error": "\(error)"])
        }
    }
}
