package import Reactor

/// One established session with a server, used for one query at a time.
///
/// A seam: ``Session`` speaks through libpq, and a simulation puts a model of the server in its place. Not
/// Sendable; lent by its ``PostgresConnection``, on whose loop every call runs.
package protocol ServerSession: AnyObject {
    /// Whether another query may be sent.
    var isUsable: Bool { get }
    /// Whether a transaction that the caller began is still open.
    var isInTransaction: Bool { get }
    /// The server's version as one number, 150018 for 15.18.
    var serverVersion: Int { get }
    /// Whether the idle session still stands; meets an end that came since the last query.
    func isAlive() -> Bool
    /// Gives the session up; a query that is under way fails.
    func close()
    /// Sends a simple Query and feeds its COPYs; returns after ReadyForQuery.
    func simple(
        _ sql: String,
        copies: [CopyStream],
        deadline: Deadline
    ) async throws(PostgresError) -> [PostgresResult]
    /// Sends one statement with parameters; returns after ReadyForQuery.
    func query(
        _ sql: String,
        _ parameters: [String?],
        deadline: Deadline
    ) async throws(PostgresError) -> PostgresResult
    /// Executes a statement that the session has prepared; returns after ReadyForQuery.
    func execute(
        _ name: String,
        _ parameters: [BinaryValue],
        deadline: Deadline
    ) async throws(PostgresError) -> PostgresResult
}

/// Opens sessions with the server that a configuration names.
package protocol ServerSessions: Sendable {
    func open(
        _ configuration: PostgresConfiguration,
        name: String,
        on loop: EventLoop,
        deadline: Deadline
    ) async throws(PostgresError) -> any ServerSession
}

/// Sessions with a real server, through libpq.
struct LibPQSessions: ServerSessions {
    func open(
        _ configuration: PostgresConfiguration,
        name: String,
        on loop: EventLoop,
        deadline: Deadline
    ) async throws(PostgresError) -> any ServerSession {
        try await Session.open(configuration, name: name, on: loop, deadline: deadline)
    }
}
