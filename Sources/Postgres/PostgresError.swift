/// Why a call to PostgreSQL failed, and whether it may have been carried out all the same.
package enum PostgresError: Error, Equatable, Sendable {
    /// Not connected, the server refuses connections, or too many callers wait; nothing was sent.
    case unavailable(String)
    /// The connection broke after the query was sent: the outcome is unknown.
    case connectionLost(String)
    /// The server refused; its transaction left nothing.
    case server(ServerError)
    /// The deadline passed after the query was sent; the socket was closed and the outcome is unknown.
    case timedOut
    /// The call itself was wrong, e.g. a COPY without data; nothing of it was stored.
    case misuse(String)

    /// Whether the statements may have been committed.
    package var isOutcomeUnknown: Bool {
        switch self {
        case .connectionLost, .timedOut: true
        case .unavailable, .server, .misuse: false
        }
    }

    /// The server's SQLSTATE, where it answered with one.
    package var sqlState: String? {
        switch self {
        case .server(let error): error.sqlState
        case .unavailable, .connectionLost, .timedOut, .misuse: nil
        }
    }

    /// A stable tag for logs and metrics.
    package var tag: String {
        switch self {
        case .unavailable: "unavailable"
        case .connectionLost: "connection_lost"
        case .server: "server"
        case .timedOut: "timed_out"
        case .misuse: "misuse"
        }
    }
}

extension PostgresError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .unavailable(let reason): "PostgreSQL is unavailable: \(reason)"
        case .connectionLost(let reason): "the connection to PostgreSQL broke: \(reason)"
        case .server(let error): error.description
        case .timedOut: "PostgreSQL did not answer before the deadline"
        case .misuse(let reason): reason
        }
    }
}

/// An error that PostgreSQL reported (its manual, 55.8).
package struct ServerError: Equatable, Sendable, CustomStringConvertible {
    package let sqlState: String
    package let severity: String
    package let message: String
    package let detail: String?
    package let hint: String?
    package let schema: String?
    package let table: String?
    package let column: String?
    package let constraint: String?

    /// Makes an error of the fields that are known.
    package init(
        sqlState: String,
        severity: String = "ERROR",
        message: String,
        detail: String? = nil,
        hint: String? = nil,
        schema: String? = nil,
        table: String? = nil,
        column: String? = nil,
        constraint: String? = nil
    ) {
        self.sqlState = sqlState
        self.severity = severity
        self.message = message
        self.detail = detail
        self.hint = hint
        self.schema = schema
        self.table = table
        self.column = column
        self.constraint = constraint
    }

    /// A key that exists already (23505): the dedup path decides.
    package var isUniqueViolation: Bool { sqlState == "23505" }

    /// Deadlock or serialization failure (40P01, 40001): the same transaction may be sent again.
    package var isRetryable: Bool { sqlState == "40P01" || sqlState == "40001" }

    /// Without `detail`, which may quote a client's data.
    package var description: String { "\(severity) \(sqlState): \(message)" }
}
