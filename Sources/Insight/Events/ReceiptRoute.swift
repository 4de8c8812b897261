import Events
import HTTP
import Postgres
import Reactor
import Server

// GET /v1/events/{id}

extension InsightRoutes {
    /// What became of an event: stored, or rejected and why; or that it waits in this node's spool.
    ///
    /// The spool is asked first: what is drained meanwhile is in the database then.
    func receipt(id: String, _ parameters: ReadParameters) async throws(ReadError) -> Response {
        let source = try parameters.text("source", bytesMax: limits.parameterBytesMax)
        let spooled = await sources.spooledReceipt(id, source)
        var writer = JSONWriter()
        do throws(ReadError) {
            try await writeReceipt(id, source, spooled, to: &writer)
        } catch {
            // What the spool knows is true without the database.
            guard case .database = error, spooled.write(to: &writer) else { throw error }
        }
        return Response(fields: [("Cache-Control", "no-store")], bytes: writer.finish())
    }

    private func writeReceipt(
        _ id: String,
        _ source: String?,
        _ spooled: SpooledReceiptFacts,
        to writer: inout JSONWriter
    ) async throws(ReadError) {
        let deadline = Deadline.after(limits.readTimeout)
        if let event = try await stored(id, source, deadline) {
            event.write(to: &writer, isReceipt: true)
        } else if case .event(let event) = spooled {
            event.writeReceipt(to: &writer)
        } else if let reject = try await rejected(id, deadline) {
            reject.writeReceipt(to: &writer)
        } else if !spooled.write(to: &writer) {
            throw spooled == .unknown ? .spoolUndrained : .notFound("There is no event with this id.")
        }
    }

    /// The newest event of that id.
    ///
    /// The places of all candidates are found first: with a LIMIT in the same query the planner would
    /// rather walk back through time until it meets one.
    private func stored(
        _ id: String,
        _ source: String?,
        _ deadline: Deadline
    ) async throws(ReadError) -> StoredEvent? {
        var conditions: [String] = []
        var parameters: [String?] = []
        if let source {
            parameters = [sources.eventKey(source, id), source]
            conditions = ["key = $1::uuid AND source = $2"]
        } else {
            parameters = [id]
            conditions = ["id = $1"]
        }
        if parseUUID(Array(id.utf8).span) != nil {
            parameters.append(id)
            let own = "key = $\(parameters.count)::uuid AND id IS NULL"
            conditions.append(source == nil ? own : own + " AND source = $2")
        }
        let candidates = conditions.map { "SELECT ts, key, bucket FROM events WHERE \($0)" }
        let sql = """
            WITH found AS MATERIALIZED (\(candidates.joined(separator: " UNION ALL "))),
                 newest AS MATERIALIZED (SELECT * FROM found ORDER BY ts DESC, key DESC LIMIT 1)
            SELECT \(StoredEvent.columns) FROM events
              WHERE (ts, key, bucket) = (SELECT ts, key, bucket FROM newest)
            """
        return try await first(sql, parameters, deadline).map { values throws(ReadError) in
            try StoredEvent(values)
        }
    }

    private func rejected(_ id: String, _ deadline: Deadline) async throws(ReadError) -> StoredReject? {
        let sql = """
            SELECT \(StoredReject.columns) FROM rejects
              WHERE id = $1 ORDER BY received_at DESC, n DESC LIMIT 1
            """
        return try await first(sql, [id], deadline).map { values throws(ReadError) in
            try StoredReject(values)
        }
    }

    private func first(
        _ sql: String,
        _ parameters: [String?],
        _ deadline: Deadline
    ) async throws(ReadError) -> [String?]? {
        do throws(PostgresError) {
            return try await reader.query(sql, parameters, deadline: deadline).rows.first
        } catch {
            throw .database(error)
        }
    }
}
