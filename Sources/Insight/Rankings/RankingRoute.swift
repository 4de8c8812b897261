import Analytics
import HTTP
import Postgres
import Reactor
import Server

// GET /v1/stats/types, /v1/stats/sources, /v1/stats/subjects

extension InsightRoutes {
    /// The types, sources or subjects with the most events of some time.
    func ranking(_ query: RankingQuery) async throws(ReadError) -> Response {
        let ranking = try await RankingReader(reader: reader, limits: limits).ranking(query)
        var writer = JSONWriter()
        writer.beginObject()
        writer.key(query.column.plural)
        writer.beginArray()
        for entry in ranking {
            writer.beginObject()
            writer.member(query.column.rawValue, entry.name)
            writer.member("count", entry.count)
            if query.column != .subject { writer.member("subjects", Int64(entry.subjects)) }
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
        return Response(fields: [("Cache-Control", "no-store")], bytes: writer.finish())
    }
}

/// Reads who has the most events, and of how many different subjects.
private struct RankingReader {
    struct Entry {
        let name: String
        let count: Int64
        /// Distinct ones, estimated.
        var subjects = 0
    }

    let reader: PostgresPool
    let limits: InsightLimits

    func ranking(_ query: RankingQuery) async throws(ReadError) -> [Entry] {
        let deadline = Deadline.after(limits.readTimeout)
        let rows: [[String?]]
        do throws(PostgresError) {
            rows = try await reader.query(query.topSQL, [query.type, query.source], deadline: deadline).rows
        } catch {
            throw .database(error)
        }
        var entries: [Entry] = []
        for values in rows {
            var row = ReadRow(values)
            entries.append(Entry(name: try row.string(), count: try row.integer()))
        }
        if query.column == .subject || entries.isEmpty { return entries }
        let subjects = try await subjects(query, of: entries.map(\.name), deadline)
        for index in entries.indices { entries[index].subjects = subjects[entries[index].name] ?? 0 }
        return entries
    }

    /// Sketches come in the order of their names, so that only one is merged at a time.
    private func subjects(
        _ query: RankingQuery,
        of names: [String],
        _ deadline: Deadline
    ) async throws(ReadError) -> [String: Int] {
        var estimates: [String: Int] = [:]
        var merged = HyperLogLog()
        var current: String?
        try await RowCursor(reader: reader, rowsMax: limits.seriesRowsMax).read(
            query.sketchesSQL,
            [query.type, query.source, PostgresArray.text(names)],
            deadline
        ) { values throws(ReadError) in
            var row = ReadRow(values)
            let name = try row.string()
            if name != current {
                if let current { estimates[current] = merged.estimate }
                (current, merged) = (name, HyperLogLog())
            }
            let bytes = try row.bytes() ?? []
            do throws(CodecError) {
                merged.merge(try HyperLogLog.decode(bytes.span))
            } catch {
                throw .corrupt("a sketch of subjects: \(error)")
            }
        }
        if let current { estimates[current] = merged.estimate }
        return estimates
    }
}
