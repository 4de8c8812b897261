// Postgres: everything that talks to PostgreSQL.
//
// LibPQ.swift alone calls the C library; Session waits for its socket on the event loop; PostgresConnection
// owns a session, serializes its callers and reconnects by ConnectionMachine's rules; PostgresPool lends
// connections. RowEncoder makes the bytes of a binary COPY. Migrator, PartitionKeeper and EmbeddedCluster
// look after the schema, the partitions and a private server. Nothing here knows an event, a job or an HTTP
// request.

import CoreMetrics
package import Logging
package import Reactor

/// One connection that lives on a loop, used by one caller at a time, in the order in which they came.
///
/// A deadline that passes closes the socket, and the outcome is unknown: a cancel request could make a commit
/// that waits for its standby look done. Cancelling the calling task ends its wait in line, never a query on
/// its way.
package actor PostgresConnection {
    nonisolated package let name: String
    private let configuration: PostgresConfiguration
    private let loop: EventLoop
    private let logger: Logger
    private var machine: ConnectionMachine
    private var session: (any ServerSession)?
    private var line: WaitLine<Void>
    private var isTaken = false
    private var lastFailure = "it has never been connected"
    private let connects = Counter(label: "millrace_postgres_connects_total")
    private let connectFailures = Counter(label: "millrace_postgres_connect_failures_total")
    private let losses = Counter(label: "millrace_postgres_connections_lost_total")
    private let timeouts = Counter(label: "millrace_postgres_timeouts_total")

    nonisolated package var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// Makes a connection that is not connected yet.
    package init(_ configuration: PostgresConfiguration, name: String, loop: EventLoop, logger: Logger) {
        self.configuration = configuration
        self.name = name
        self.loop = loop
        self.logger = logger
        let limits = configuration.limits
        machine = ConnectionMachine(
            backoffMin: limits.backoffMin,
            backoffMax: limits.backoffMax,
            seed: Dice.roll()
        )
        line = WaitLine(countMax: limits.waitersMax)
    }

    /// Whether there is a session, as far as is known without asking the server.
    package var isConnected: Bool { session != nil }

    /// The server's version as one number, 150018 for 15.18; `nil` without a session.
    package var serverVersion: Int? { session?.serverVersion }

    /// Callers in line behind the one that is being served.
    package var waiters: Int { line.count }

    // MARK: Connecting

    /// Makes one attempt to connect, whatever the backoff says; does nothing where a session stands.
    package func connect(deadline: Deadline) async throws(PostgresError) {
        try await takeTurn(deadline)
        defer { endTurn() }
        if findSession() != nil { return }
        try await attempt(deadline)
    }

    /// Connects when needed, waiting out the backoff; fails at once when the next attempt would come too
    /// late.
    package func ensureConnected(deadline: Deadline) async throws(PostgresError) {
        while true {
            switch try await connectIfAllowed(deadline) {
            case .useSession: return
            case .connect: continue
            case .refuse: throw .unavailable("connection \(name) is closed")
            case .wait(let until):
                if until >= deadline { throw .unavailable(lastFailure) }
                await loop.sleep(until: until)
                if Task.isCancelled { throw .unavailable("the caller was cancelled") }
            }
        }
    }

    /// One look at the machine, and the attempt if it allows one; the pause is slept out of turn.
    private func connectIfAllowed(
        _ deadline: Deadline
    ) async throws(PostgresError) -> ConnectionMachine.Action {
        // Looking consumes input, which belongs to whoever has the turn.
        if !isTaken, session?.isAlive() == true { return .useSession }
        try await takeTurn(deadline)
        defer { endTurn() }
        if findSession() != nil { return .useSession }
        let action = machine.action(at: .now())
        guard action == .connect else { return action }
        do throws(PostgresError) {
            try await attempt(deadline)
            return .useSession
        } catch {
            return Deadline.now() < deadline ? machine.action(at: .now()) : .wait(until: .never)
        }
    }

    private func attempt(_ deadline: Deadline) async throws(PostgresError) {
        guard machine.begin() else { throw .unavailable("connection \(name) is closed") }
        let limit = min(deadline, .after(configuration.limits.connectTimeout))
        do throws(PostgresError) {
            let opened = try await open(limit)
            guard machine.connected() else {
                opened.close()
                throw .unavailable("connection \(name) is closed")
            }
            session = opened
            connects.increment()
            logger.debug("connected to PostgreSQL", metadata: ["connection": "\(name)"])
        } catch {
            // Nothing of the caller's has been sent, whatever happened.
            let reason = if case .unavailable(let reason) = error { reason } else { error.description }
            machine.lost(at: .now())
            lastFailure = reason
            connectFailures.increment()
            logger.debug("PostgreSQL refused", metadata: ["connection": "\(name)", "reason": "\(reason)"])
            throw .unavailable(reason)
        }
    }

    private func open(_ deadline: Deadline) async throws(PostgresError) -> any ServerSession {
        let opened = try await configuration.server.open(
            configuration,
            name: name,
            on: loop,
            deadline: deadline
        )
        do throws(PostgresError) {
            _ = try await opened.simple(configuration.sessionSQL, copies: [], deadline: deadline)
            return opened
        } catch {
            opened.close()
            throw error
        }
    }

    /// The session, after a look at whether it still stands.
    private func findSession() -> (any ServerSession)? {
        guard let session else { return nil }
        if session.isAlive() { return session }
        drop(session, because: "the server closed it while it was idle")
        return nil
    }

    private func drop(_ ended: any ServerSession, because reason: String) {
        guard session === ended else { return }
        ended.close()
        session = nil
        machine.lost(at: .now())
        lastFailure = reason
        losses.increment()
        logger.notice("lost PostgreSQL", metadata: ["connection": "\(name)", "reason": "\(reason)"])
    }

    // MARK: Queries

    /// Sends a simple Query of any number of statements and returns one result for each, after ReadyForQuery.
    ///
    /// Each `COPY … FROM STDIN` takes the next of `copies`. Without BEGIN the statements are one transaction.
    /// After an error of the server the connection is ready for the next query.
    package func simple(
        _ sql: String,
        copies: [CopyStream] = [],
        deadline: Deadline
    ) async throws(PostgresError) -> [PostgresResult] {
        try Self.check(sql, [])
        let session = try await beginQuery(deadline)
        defer { endTurn() }
        do throws(PostgresError) {
            let results = try await session.simple(sql, copies: copies, deadline: deadline)
            endQuery(session, nil)
            return results
        } catch {
            endQuery(session, error)
            throw error
        }
    }

    /// Runs one statement with text parameters `$1`, `$2`… and returns its result, after ReadyForQuery.
    package func query(
        _ sql: String,
        _ parameters: [String?] = [],
        deadline: Deadline
    ) async throws(PostgresError) -> PostgresResult {
        try Self.check(sql, parameters)
        let session = try await beginQuery(deadline)
        defer { endTurn() }
        do throws(PostgresError) {
            let result = try await session.query(sql, parameters, deadline: deadline)
            endQuery(session, nil)
            return result
        } catch {
            endQuery(session, error)
            throw error
        }
    }

    /// Executes the statement `name`, which the session's setup has prepared, and returns its result, after
    /// ReadyForQuery: one round trip, nothing parsed.
    package func execute(
        _ name: String,
        _ parameters: [BinaryValue],
        deadline: Deadline
    ) async throws(PostgresError) -> PostgresResult {
        let session = try await beginQuery(deadline)
        defer { endTurn() }
        do throws(PostgresError) {
            let result = try await session.execute(name, parameters, deadline: deadline)
            endQuery(session, nil)
            return result
        } catch {
            endQuery(session, error)
            throw error
        }
    }

    /// Rolls back what a borrower left open; a connection that cannot is dropped.
    func leaveTransaction(deadline: Deadline) async {
        guard let session, session.isInTransaction else { return }
        do throws(PostgresError) {
            _ = try await simple("ROLLBACK", deadline: deadline)
        } catch {
            drop(session, because: "its transaction could not be rolled back: \(error)")
        }
    }

    /// Ends the session and refuses every later call; a query on its way fails with an unknown outcome.
    package func close() {
        machine.close()
        session?.close()
        session = nil
        lastFailure = "connection \(name) is closed"
        line.dismissAll()
    }

    /// C strings end at the first NUL; half a statement must never be sent.
    private static func check(_ sql: String, _ parameters: [String?]) throws(PostgresError) {
        if sql.utf8.contains(0) { throw .misuse("a statement cannot hold U+0000") }
        if parameters.contains(where: { $0?.utf8.contains(0) == true }) {
            throw .misuse("a text parameter cannot hold U+0000")
        }
        if parameters.count > UInt16.max { throw .misuse("a statement takes at most 65,535 parameters") }
    }

    /// Waits for this caller's turn and finds the session; the caller ends the turn.
    private func beginQuery(_ deadline: Deadline) async throws(PostgresError) -> any ServerSession {
        try await takeTurn(deadline)
        do throws(PostgresError) {
            return try startQuery(deadline)
        } catch {
            endTurn()
            throw error
        }
    }

    private func startQuery(_ deadline: Deadline) throws(PostgresError) -> any ServerSession {
        guard let session = findSession() else { throw .unavailable(lastFailure) }
        if Deadline.now() >= deadline { throw .unavailable("the deadline passed before the query was sent") }
        guard machine.started() else { throw .unavailable("connection \(name) is closed") }
        return session
    }

    private func endQuery(_ used: any ServerSession, _ error: PostgresError?) {
        if used.isUsable, error?.isOutcomeUnknown != true {
            machine.finished()
            return
        }
        if error == .timedOut { timeouts.increment() }
        drop(used, because: error?.description ?? "the session ended")
    }

    // MARK: Turns

    /// Waits until no other caller uses the session; nothing is sent meanwhile.
    private func takeTurn(_ deadline: Deadline) async throws(PostgresError) {
        if !isTaken {
            isTaken = true
            return
        }
        if line.isFull { throw .unavailable("\(line.count) callers wait for connection \(name)") }
        let id = line.nextID()
        // Ends at the deadline, or when this caller has its turn and cancels it.
        let timer = Task(executorPreference: loop) {
            await self.loop.sleep(until: deadline)
            if !Task.isCancelled { await self.leaveLine(id) }
        }
        defer { timer.cancel() }
        let turn: Void? = await withTaskCancellationHandler {
            await withCheckedContinuation { line.join(id, $0) }
        } onCancel: {
            // Ends as soon as the loop has run it.
            Task(executorPreference: loop) { await self.leaveLine(id) }
        }
        if turn == nil { throw .unavailable("connection \(name) did not become free in time") }
    }

    private func leaveLine(_ id: UInt64) { line.leave(id) }

    /// Passes the turn on; the next caller finds the session as it is then.
    private func endTurn() {
        if !line.admit(()) { isTaken = false }
    }
}
