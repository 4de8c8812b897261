import HTTP
import Postgres
import Reactor
import Server

// GET /v1/rejects
// GET /v1/rejects/{n}

extension InsightRoutes {
    /// One page and the cursor of the next; a page ends early where its rejects are large.
    func rejects(_ parameters: ReadParameters) async throws(ReadError) -> Response {
        let query = try RejectsQuery(parameters, limits: limits)
        let (sql, parameters) = query.select(bytesMax: limits.rejectsBytesMax)
        let rows = try await rejectRows(sql, parameters)
        var rejects: [StoredReject] = []
        for values in rows { rejects.append(try StoredReject(values)) }
        let allowed = rows.first?.last.flatMap { $0.flatMap { Int($0) } } ?? 0

        var writer = JSONWriter()
        writer.beginObject()
        writer.key("rejects")
        writer.beginArray()
        for reject in rejects { reject.write(to: &writer) }
        writer.endArray()
        writer.member("next_cursor", rejects.count < allowed ? rejects.last?.cursor.text : nil)
        writer.endObject()
        return Response(fields: [("Cache-Control", "no-store")], bytes: writer.finish())
    }

    /// One reject by its number.
    func reject(_ number: String) async throws(ReadError) -> Response {
        guard let n = Int64(number) else { throw .notFound("There is no reject with this number.") }
        let sql = "SELECT \(StoredReject.columns) FROM rejects WHERE n = $1"
        guard let values = try await rejectRows(sql, ["\(n)"]).first else {
            throw .notFound("There is no reject with this number, or no longer.")
        }
        var writer = JSONWriter()
        try StoredReject(values).write(to: &writer)
        return Response(fields: [("Cache-Control", "no-store")], bytes: writer.finish())
    }

    private func rejectRows(_ sql: String, _ parameters: [String?]) async throws(ReadError) -> [[String?]] {
        do throws(PostgresError) {
            return try await reader.query(sql, parameters, deadline: .after(limits.readTimeout)).rows
        } catch {
            throw .database(error)
        }
    }
}
