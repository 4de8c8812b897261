/// What `/v1/events` was asked for, checked.
struct EventsQuery: Equatable, Sendable {
    enum Order: String, CaseIterable, Sendable {
        case desc, asc
    }

    static let parameters: Set<String> = [
        "type", "source", "subject", "id", "from", "to", "order", "limit", "cursor",
    ]

    var filter: EventFilter
    let limit: Int
    let cursor: EventCursor?

    init(_ parameters: ReadParameters, limits: InsightLimits) throws(ReadError) {
        filter = EventFilter(
            type: try parameters.text("type", bytesMax: limits.parameterBytesMax),
            source: try parameters.text("source", bytesMax: limits.parameterBytesMax),
            subject: try parameters.text("subject", bytesMax: limits.parameterBytesMax),
            id: try parameters.text("id", bytesMax: limits.parameterBytesMax),
            from: try parameters.time("from"),
            to: try parameters.time("to"),
            order: try parameters.choice("order") ?? .desc
        )
        if let from = filter.from, let to = filter.to, from > to {
            throw .invalid(parameter: "to", "\"to\" is before \"from\".")
        }
        limit =
            try parameters.integer("limit", in: 1...limits.eventsLimitMax) ?? limits.eventsLimitDefault
        cursor = try parameters.text("cursor").map { text throws(ReadError) in
            guard let cursor = EventCursor(text: text) else {
                throw .invalid(parameter: "cursor", "The cursor is none that this service has given out.")
            }
            return cursor
        }
    }
}
