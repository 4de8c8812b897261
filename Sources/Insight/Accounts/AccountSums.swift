import HTTP
import Postgres
import Reactor

/// What some accounts have counted together.
struct AccountCounts: Equatable, Sendable {
    let received: Int64
    let stored: Int64
    let duplicates: Int64
    let rejected: Int64
    let bytes: Int64

    /// Columns in the order of the members.
    static let sums =
        "sum(received)::bigint AS received, sum(stored)::bigint AS stored, "
        + "sum(duplicates)::bigint AS duplicates, sum(rejected)::bigint AS rejected, "
        + "sum(bytes)::bigint AS bytes"

    init(_ row: inout ReadRow) throws(ReadError) {
        received = try row.integer()
        stored = try row.integer()
        duplicates = try row.integer()
        rejected = try row.integer()
        bytes = try row.integer()
    }

    func write(to writer: inout JSONWriter) {
        writer.member("received", received)
        writer.member("stored", stored)
        writer.member("duplicates", duplicates)
        writer.member("rejected", rejected)
        writer.member("bytes", bytes)
    }
}

/// What came in within the last hour, by way in and by key.
struct AccountSums: Equatable, Sendable {
    struct Route: Equatable, Sendable {
        let route: String
        let counts: AccountCounts
    }

    struct Key: Equatable, Sendable {
        /// `nil` for events without a key.
        let id: Int64?
        let name: String?
        let counts: AccountCounts
    }

    private(set) var routes: [Route] = []
    /// Those with the most events, these first.
    private(set) var keys: [Key] = []

    private static let windowSeconds = 3_600

    /// Reads them, at most so many entries.
    static func read(over reader: PostgresPool, limits: InsightLimits) async throws(ReadError) -> AccountSums
    {
        let sql = """
            SELECT s.route, nullif(s.key_id, 0), k.name, s.received, s.stored, s.duplicates, s.rejected,
                   s.bytes FROM (SELECT route, key_id, \(AccountCounts.sums) FROM accounts
                      WHERE minute > now() - interval '\(windowSeconds) s'
                      GROUP BY GROUPING SETS ((route), (key_id))) s
                LEFT JOIN keys k ON k.id = s.key_id
              ORDER BY s.route NULLS LAST, s.received DESC, s.key_id LIMIT \(limits.accountSumsMax)
            """
        let rows: [[String?]]
        do throws(PostgresError) {
            rows = try await reader.query(sql, deadline: .after(limits.statsTimeout)).rows
        } catch {
            throw .database(error)
        }
        var sums = AccountSums()
        for values in rows { try sums.add(values) }
        return sums
    }

    private mutating func add(_ values: [String?]) throws(ReadError) {
        var row = ReadRow(values)
        let route = try row.text()
        let (id, name) = (try row.text(), try row.text())
        let counts = try AccountCounts(&row)
        if let route {
            routes.append(Route(route: route, counts: counts))
        } else {
            keys.append(Key(id: id.flatMap { Int64($0) }, name: name, counts: counts))
        }
    }

    /// As the member `accounts` of the statistics.
    func write(to writer: inout JSONWriter) {
        writer.key("accounts")
        writer.beginObject()
        writer.member("window_s", Self.windowSeconds)
        writer.key("routes")
        writer.beginArray()
        for route in routes {
            writer.beginObject()
            writer.member("route", route.route)
            route.counts.write(to: &writer)
            writer.endObject()
        }
        writer.endArray()
        writer.key("keys")
        writer.beginArray()
        for key in keys {
            writer.beginObject()
            writer.member("key", key.id)
            writer.member("name", key.name)
            key.counts.write(to: &writer)
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
    }
}
