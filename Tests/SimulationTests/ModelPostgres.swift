import Postgres
import Reactor

/// A PostgreSQL server: sessions, transactions, and all that goes wrong with them.
///
/// A query is carried out whole at one moment, some time after it came in and some time before its answer. So
/// a server that dies, a connection that breaks and a caller who gives up fall before or after that moment,
/// and a backend whose client is gone carries out what it has been sent all the same, even much later.
final class ModelPostgres: @unchecked Sendable {
    /// What goes wrong, each once in so many queries; 0 for never.
    struct Faults {
        /// The connection breaks, and the query is not carried out.
        var lostQuery = 0
        /// The connection breaks after the commit.
        var lostAnswer = 0
        /// No answer comes; the query is carried out at any time, or never.
        var hang = 0
        /// An error that has nothing to do with the rows.
        var error = 0
        /// A session is refused, or never comes about.
        var refusedSession = 0
        /// The longest that an ordinary query takes, in milliseconds.
        var slownessMilliseconds = 2
    }

    enum Availability: Equatable {
        case up
        /// Nobody gets in.
        case down
        /// As a standby that has not been promoted.
        case readOnly
        /// Nothing is carried out before the given time.
        case stalled(until: Deadline)
    }

    private let world: World
    private(set) var tables = ModelTables()
    var faults = Faults()
    private(set) var availability = Availability.up
    private var sessions: [ModelSession] = []
    private var sessionsOpened = 0
    /// Counts the crashes: what was sent to an earlier server is never carried out.
    private var generation = 0
    /// What did not add up after a transaction.
    private(set) var imbalance: String?
    private(set) var commits = 0

    init(_ world: World) {
        self.world = world
        tables.rejectDays = [Calendar.today(world)]
    }

    // MARK: The server

    /// Dies and takes all sessions with it; what was not committed is lost.
    func crash() {
        world.note("postgres: dies")
        generation += 1
        availability = .down
        let lost = sessions
        sessions = []
        for session in lost { session.end(because: "server closed the connection unexpectedly") }
    }

    /// Forgets the sessions, which hold this.
    func letGo() { sessions = [] }

    func become(_ availability: Availability) {
        world.note("postgres: \(availability)")
        self.availability = availability
    }

    func registerNode(epoch: Int, writers: Int) -> [Int64] {
        tables.registerNode(epoch: epoch, writers: writers)
    }

    func buryNode(epoch: Int) {
        world.note("postgres: buries epoch \(epoch)")
        do throws(Refusal) { try tables.buryNode(epoch: epoch) } catch { imbalance = "\(error)" }
    }

    // MARK: Sessions

    /// What became of an attempt to get a session, and when.
    func openSession(_ name: String, deadline: Deadline, _ done: @escaping (ModelSession?) -> Void) {
        let answersAt = world.now.advanced(by: latency())
        var opens = !world.chance(oneIn: faults.refusedSession)
        switch availability {
        case .down: opens = false
        case .stalled:
            world.at(deadline) { done(nil) }
            return
        case .readOnly: opens = opens && world.chance(oneIn: 2)
        case .up: break
        }
        let generation = generation
        world.at(min(answersAt, deadline)) { [self] in
            guard opens, answersAt <= deadline, generation == self.generation, availability != .down else {
                done(nil)
                return
            }
            sessionsOpened += 1
            let session = ModelSession(self, number: sessionsOpened, name: name)
            sessions.append(session)
            done(session)
        }
    }

    func forget(_ session: ModelSession) { sessions.removeAll { $0 === session } }

    private func latency() -> Duration {
        world.duration(milliseconds: 0...(world.chance(oneIn: 20) ? faults.slownessMilliseconds * 20 : 2))
    }

    // MARK: Queries

    /// Takes a query in, and sees to its answer.
    func receive(_ query: ModelQuery, from session: ModelSession, deadline: Deadline) {
        let request = session.request
        world.at(deadline) { session.answer(request, .failure(.timedOut)) }
        var begins = world.now.advanced(by: latency())
        if case .stalled(let until) = availability { begins = max(begins, until) }
        let generation = generation
        if world.chance(oneIn: faults.lostQuery) {
            world.at(begins) { session.end(because: "the query was lost") }
        } else if world.chance(oneIn: faults.lostAnswer) {
            world.at(begins) { [self] in
                _ = carryOut(query, session, generation)
                session.end(because: "the answer was lost")
            }
        } else if world.chance(oneIn: faults.hang) {
            world.note("postgres: session \(session.number) hangs")
            if world.chance(oneIn: 4) { return }
            world.after(world.duration(milliseconds: 0...20_000)) { [self] in
                _ = carryOut(query, session, generation)
            }
        } else {
            let error = world.chance(oneIn: faults.error) ? pickError() : nil
            world.at(begins) { [self] in
                let result = error.map { .failure(.server($0)) } ?? carryOut(query, session, generation)
                let answers = world.now.advanced(by: latency())
                world.at(answers) { session.answer(request, result) }
            }
        }
    }

    private func pickError() -> ServerError {
        let states = ["40P01", "40001", "53100", "53200", "57014", "25006", "XX000"]
        return ServerError(sqlState: states[world.number(in: 0..<states.count)], message: "it happens")
    }

    /// Carries a query out as one transaction.
    private func carryOut(
        _ query: ModelQuery,
        _ session: ModelSession,
        _ generation: Int
    ) -> Result<[PostgresResult], PostgresError> {
        guard generation == self.generation else { return .failure(.connectionLost("the server is gone")) }
        if availability == .readOnly, query.writes {
            return .failure(.server(ServerError(sqlState: "25006", message: "read-only transaction")))
        }
        var next = tables
        do throws(Refusal) {
            let results = try query.run(on: &next)
            tables = next
            if query.writes {
                commits += 1
                imbalance = imbalance ?? tables.imbalance
            }
            world.note("postgres: session \(session.number) (\(session.name)) \(query): done")
            return .success(results)
        } catch {
            world.note("postgres: session \(session.number) (\(session.name)) \(query): \(error.sqlState)")
            return .failure(.server(ServerError(sqlState: error.sqlState, message: error.message)))
        }
    }
}

/// Sessions of one process with the server; none once it is dead.
final class ModelSessions: ServerSessions, @unchecked Sendable {
    private let server: ModelPostgres
    private var open: [ModelSession] = []
    private var isCut = false

    init(_ server: ModelPostgres) { self.server = server }

    /// The process is dead: what it has sent goes its way, and it hears nothing.
    func cut() {
        isCut = true
        for session in open { session.end(because: "the process is dead") }
        open = []
    }

    func open(
        _ configuration: PostgresConfiguration,
        name: String,
        on loop: EventLoop,
        deadline: Deadline
    ) async throws(PostgresError) -> any ServerSession {
        if isCut { throw .unavailable("the process is dead") }
        let session = await withUnsafeContinuation { continuation in
            server.openSession(name, deadline: deadline) { continuation.resume(returning: $0) }
        }
        guard let session, !isCut else { throw .unavailable("no session") }
        open.removeAll { $0.isEnded }
        open.append(session)
        return session
    }
}

/// A session of a ``ModelPostgres``.
final class ModelSession: ServerSession, @unchecked Sendable {
    let number: Int
    let name: String
    private let server: ModelPostgres
    private(set) var isEnded = false
    private var reason = "it was closed"
    private var waiting: UnsafeContinuation<Result<[PostgresResult], PostgresError>, Never>?
    /// Counts the queries; an answer names the one that it answers.
    private(set) var request = 0

    init(_ server: ModelPostgres, number: Int, name: String) {
        self.server = server
        self.number = number
        self.name = name
    }

    var isUsable: Bool { !isEnded }
    var isInTransaction: Bool { false }
    var serverVersion: Int { 150_000 }
    func isAlive() -> Bool { !isEnded }
    func close() { end(because: "it was closed") }

    func end(because reason: String) {
        if isEnded { return }
        isEnded = true
        self.reason = reason
        server.forget(self)
        answer(request, .failure(.connectionLost(reason)))
    }

    func answer(_ answered: Int, _ result: Result<[PostgresResult], PostgresError>) {
        guard answered == request, let waiting else { return }
        self.waiting = nil
        waiting.resume(returning: result)
    }

    private func ask(
        _ query: ModelQuery,
        _ deadline: Deadline
    ) async throws(PostgresError) -> [PostgresResult] {
        if isEnded { throw .connectionLost(reason) }
        request += 1
        let result = await withUnsafeContinuation { continuation in
            waiting = continuation
            server.receive(query, from: self, deadline: deadline)
        }
        return try result.get()
    }

    func simple(
        _ sql: String,
        copies: [CopyStream],
        deadline: Deadline
    ) async throws(PostgresError) -> [PostgresResult] {
        try await ask(ModelQuery(sql, copies: copies), deadline)
    }

    func query(
        _ sql: String,
        _ parameters: [String?],
        deadline: Deadline
    ) async throws(PostgresError) -> PostgresResult {
        try await ask(ModelQuery(sql, parameters), deadline)[0]
    }

    func execute(
        _ name: String,
        _ parameters: [BinaryValue],
        deadline: Deadline
    ) async throws(PostgresError) -> PostgresResult {
        precondition(name == "insert_events", "the only prepared statement")
        return try await ask(.flush(ModelFlush(parameters)), deadline)[0]
    }
}
