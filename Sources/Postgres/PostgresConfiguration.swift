/// Where the database is and how connections to it behave.
package struct PostgresConfiguration: Sendable {
    /// A libpq URI or conninfo string; several hosts are allowed.
    package var conninfo: String
    /// Shown in `pg_stat_activity`, followed by the connection's name, unless `conninfo` says otherwise.
    package var applicationName = "millrace"
    /// The server's own limit of a statement; `nil` leaves the server's default.
    package var statementTimeout: Duration?
    /// Whether transactions may only read, for lanes that must not write.
    package var isReadOnly = false
    /// More SQL for a new session, run after the settings that every session has.
    package var sessionSetup = ""
    package var limits = PostgresLimits()
    /// What sessions are opened with.
    package var server: any ServerSessions = LibPQSessions()

    /// Describes the database behind `conninfo`.
    package init(conninfo: String) { self.conninfo = conninfo }

    /// What libpq is given: defaults, then the operator's string, then what must not differ.
    func options(connectionName: String) -> [(keyword: String, value: String)] {
        [
            // A host that does not answer must not hold up the next one of the list, nor a dead one an open
            // connection.
            ("tcp_user_timeout", String(limits.hostTimeoutMilliseconds)),
            ("fallback_application_name", "\(applicationName) \(connectionName)"),
            ("dbname", conninfo),
            ("client_encoding", "UTF8"),
        ]
    }

    /// The settings that this code's text parsing relies on, as one simple Query.
    var sessionSQL: String {
        var sql = """
            SET TIME ZONE 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres';
            SET bytea_output = 'hex'; SET extra_float_digits = 1; SET standard_conforming_strings = on;
            SET client_min_messages = warning;
            """
        if let statementTimeout {
            sql += "SET statement_timeout = \(max(1, statementTimeout.milliseconds));"
        }
        if isReadOnly { sql += "SET default_transaction_read_only = on;" }
        return sql + sessionSetup
    }
}

/// Bounds of one connection and of the pool; reaching one refuses with ``PostgresError/unavailable(_:)``.
package struct PostgresLimits: Sendable {
    /// Callers that wait for one connection.
    package var waitersMax = 256
    /// Callers that wait for any connection of a pool.
    package var poolWaitersMax = 1_024
    /// One attempt to connect, over all hosts, with the session's setup.
    package var connectTimeout = Duration.seconds(30)
    /// Unacknowledged data or an unanswered SYN to one host (TCP_USER_TIMEOUT).
    package var hostTimeoutMilliseconds = 10_000
    /// First and longest pause between attempts to connect; each is cut by up to half at random.
    package var backoffMin = Duration.milliseconds(100)
    package var backoffMax = Duration.seconds(5)
    /// COPY data handed to libpq at once: it moves what the socket did not take, so a slice has to stay
    /// small.
    package var copySliceBytesMax = 128 * 1_024

    /// The defaults.
    package init() {}
}
