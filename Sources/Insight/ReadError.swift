import HTTP
import Postgres
import Server

/// Why a read was not answered with what it asked for.
enum ReadError: Error, Equatable {
    /// The query cannot be decoded.
    case target(TargetError)
    /// No route here knows that parameter.
    case unknownParameter(String)
    case repeatedParameter(String)
    /// The value of that parameter; the detail is a sentence.
    case invalid(parameter: String, String)
    case missing(parameter: String)
    case notFound(String)
    case notAcceptable([String])
    /// What is not in the database may be in the spool, which holds more than it can look up.
    case spoolUndrained
    /// A bound of ours is met; the detail is a sentence.
    case overloaded(String)
    case database(PostgresError)
    /// The database holds what this program has not written.
    case corrupt(String)

    /// The problem that the client gets.
    func response(requestID: String) -> Response {
        if case .target(let error) = self { return Response(Problem(error, requestID: requestID)) }
        let (status, code, detail) = parts
        var response = Response(Problem(status: status, code: code, detail: detail, requestID: requestID))
        if status == 503 { response.fields.append(("Retry-After", "1")) }
        return response
    }

    private var parts: (status: Int, code: String, detail: String) {
        switch self {
        case .target(let error): (error.status, error.code, error.detail)
        case .unknownParameter(let name):
            (400, "unknown_parameter", "There is no parameter \"\(name)\" here.")
        case .repeatedParameter(let name):
            (400, "invalid_\(name)", "The parameter \"\(name)\" may be given once.")
        case .invalid(let name, let detail): (400, "invalid_\(name)", detail)
        case .missing(let name): (400, "missing_\(name)", "The parameter \"\(name)\" is needed here.")
        case .notFound(let detail): (404, "not_found", detail)
        case .notAcceptable(let types):
            (406, "not_acceptable", "This route answers with \(types.joined(separator: ", ")).")
        case .spoolUndrained:
            (
                503, "spool_undrained",
                "It is not in the database, but it may be among the events that wait for it in the spool."
            )
        case .overloaded(let detail): (503, "overloaded", detail)
        case .database(let error): Self.parts(of: error)
        case .corrupt(let detail): (500, "unreadable_data", detail)
        }
    }

    private static func parts(of error: PostgresError) -> (status: Int, code: String, detail: String) {
        switch error {
        case .unavailable, .connectionLost:
            (503, "database_unavailable", "The database cannot be reached at the moment.")
        case .timedOut: (503, "read_timed_out", timeoutDetail)
        // query_canceled: the lane's statement timeout.
        case .server(let error) where error.sqlState == "57014": (503, "read_timed_out", timeoutDetail)
        case .server(let error) where error.sqlState.hasPrefix("57P") || error.sqlState.hasPrefix("53"):
            (503, "database_unavailable", "The database takes no queries at the moment.")
        // A client has no use for the text, and it may quote data: SQLSTATE is enough to find the cause in
        // the log.
        case .server(let error):
            (500, "database_error", "The database refused with SQLSTATE \(error.sqlState).")
        case .misuse: (500, "database_error", "The query was refused before it was sent.")
        }
    }

    private static let timeoutDetail = "The read took too long; ask for a shorter time between from and to."
}
