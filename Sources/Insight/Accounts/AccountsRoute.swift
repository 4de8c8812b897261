import HTTP
import Postgres
import Reactor
import Server

// GET /v1/accounts

/// What `/v1/accounts` was asked for, checked.
struct AccountsQuery: Equatable, Sendable {
    static let parameters: Set<String> = ["from", "to", "route", "key"]

    private static let hour: Int64 = 3_600_000_000

    /// Microseconds since 1970; accounts of minutes that begin in `from..<to`.
    let from: Int64
    let to: Int64
    let route: String?
    /// 0 for events without a key.
    let key: Int?

    /// Checks the parameters; without `to` it is about all up to `now`, without `from` about the hour before.
    init(_ parameters: ReadParameters, now: Int64) throws(ReadError) {
        to = try parameters.time("to") ?? now
        from = try parameters.time("from") ?? (to - Self.hour)
        if from > to { throw .invalid(parameter: "to", "\"to\" is before \"from\".") }
        route = try parameters.text("route", bytesMax: 64)
        key = try parameters.integer("key", in: 0...Int.max)
    }

    func select(rowsMax: Int) -> (sql: String, parameters: [String?]) {
        var parameters: [String?] = [EventFilter.text(from), EventFilter.text(to)]
        var conditions = "minute >= $1 AND minute < $2"
        if let route {
            parameters.append(route)
            conditions += " AND route = $\(parameters.count)"
        }
        if let key {
            parameters.append("\(key)")
            conditions += " AND coalesce(key_id, 0) = $\(parameters.count)"
        }
        let sql = """
            SELECT (extract(epoch FROM minute) * 1000000)::bigint, route, key_id, key, received, stored,
                   duplicates, rejected, bytes
              FROM accounting WHERE \(conditions) ORDER BY minute, route, key_id NULLS FIRST LIMIT \(rowsMax)
            """
        return (sql, parameters)
    }
}

extension InsightRoutes {
    /// The accounts of some minutes, of all writers together.
    func accounts(_ parameters: ReadParameters) async throws(ReadError) -> Response {
        let query = try AccountsQuery(parameters, now: WallClock.microseconds())
        // One more tells that there are more.
        let (sql, values) = query.select(rowsMax: limits.accountsMax + 1)
        let rows: [[String?]]
        do throws(PostgresError) {
            rows = try await reader.query(sql, values, deadline: .after(limits.readTimeout)).rows
        } catch {
            throw .database(error)
        }
        if rows.count > limits.accountsMax {
            throw .invalid(
                parameter: "to",
                "There are more than \(limits.accountsMax) accounts. Ask for less time, a route or a key."
            )
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("accounts")
        writer.beginArray()
        for values in rows { try Self.write(values, to: &writer) }
        writer.endArray()
        writer.endObject()
        return Response(fields: [("Cache-Control", "no-store")], bytes: writer.finish())
    }

    private static func write(_ values: [String?], to writer: inout JSONWriter) throws(ReadError) {
        var row = ReadRow(values)
        writer.beginObject()
        writer.member("minute", time: try row.integer())
        writer.member("route", try row.string())
        writer.member("key", try row.text().flatMap { Int64($0) })
        writer.member("name", try row.text())
        try AccountCounts(&row).write(to: &writer)
        writer.endObject()
    }
}
