import HTTP
import Postgres
import Reactor
import Server

// GET /v1/events

extension InsightRoutes {
    func events(
        _ parameters: ReadParameters,
        accepted: AcceptedTypes
    ) async throws(ReadError) -> Response {
        let query = try EventsQuery(parameters, limits: limits)
        let offers = ["application/json", "application/x-ndjson", "text/csv"]
        switch accepted.preferred(among: offers) {
        case "application/json": return try await page(query)
        case "application/x-ndjson": return try await export(query.filter, as: .lines)
        case "text/csv": return try await export(query.filter, as: .table)
        default: throw .notAcceptable(offers)
        }
    }

    /// One page and the cursor of the next; a page ends early where its events are large.
    private func page(_ query: EventsQuery) async throws(ReadError) -> Response {
        var pager = EventPager(query.filter, after: query.cursor, reader: reader, limits: limits)
        var events: [StoredEvent] = []
        var byteCount = 0
        // One more than asked for tells whether there are more.
        while !pager.isAtEnd, events.count <= query.limit, byteCount < limits.listBytesMax {
            for event in try await pager.next(atMost: query.limit + 1 - events.count) {
                events.append(event)
                byteCount += event.byteCount
            }
        }
        let hasMore = events.count > query.limit || !pager.isAtEnd
        if events.count > query.limit { events.removeLast() }

        var writer = JSONWriter()
        writer.beginObject()
        writer.key("events")
        writer.beginArray()
        for event in events { event.write(to: &writer) }
        writer.endArray()
        writer.member("next_cursor", hasMore ? events.last?.cursor.text : nil)
        writer.endObject()
        return Response(fields: [("Cache-Control", "no-store"), ("Vary", "Accept")], bytes: writer.finish())
    }

    /// All events that match, written as they are read.
    ///
    /// The first page is read before the answer begins, so that what fails at once is a problem and not a
    /// cut stream.
    private func export(
        _ filter: EventFilter,
        as format: EventExport.Format
    ) async throws(ReadError) -> Response {
        var export = EventExport(try await bounded(filter), as: format, reader: reader, limits: limits)
        let first = try await export.next() ?? []
        return Response(
            contentType: format.contentType,
            fields: [("Cache-Control", "no-store"), ("Vary", "Accept")],
            stream: ExportBody(first: first, rest: export).write
        )
    }

    /// Ends an ascending export at the newest event there is now: it would run after those that come for
    /// ever.
    private func bounded(_ filter: EventFilter) async throws(ReadError) -> EventFilter {
        if filter.order == .desc || filter.to != nil { return filter }
        var newest = filter
        newest.order = .desc
        var pager = EventPager(newest, after: nil, reader: reader, limits: limits)
        var bounded = filter
        bounded.to = try await pager.next(atMost: 1).first.map { $0.time + 1 } ?? filter.from
        return bounded
    }
}

/// An export's answer: its first page, and where the rest comes from.
private struct ExportBody: Sendable {
    let first: [UInt8]
    let rest: EventExport

    func write(to writer: ResponseWriter) async throws(StreamError) {
        try await writer.write(first)
        var rest = rest
        while true {
            let bytes: [UInt8]?
            do throws(ReadError) {
                bytes = try await rest.next()
            } catch {
                // Without the last chunk the client sees that this is not all.
                throw .closed
            }
            guard let bytes else { return }
            try await writer.write(bytes)
        }
    }
}
