import Events

/// Which events, in which order.
struct EventFilter: Equatable, Sendable {
    var type: String?
    var source: String?
    var subject: String?
    var id: String?
    /// Microseconds since 1970, inclusive.
    var from: Int64?
    /// Exclusive.
    var to: Int64?
    var order: EventsQuery.Order

    /// A statement, with its parameters, for the next `count` events after `cursor`.
    func select(after cursor: EventCursor?, count: Int) -> (sql: String, parameters: [String?]) {
        var conditions: [String] = []
        var parameters: [String?] = []
        func add(_ condition: (String) -> String, _ value: String) {
            parameters.append(value)
            conditions.append(condition("$\(parameters.count)"))
        }

        // Partitions are pruned by plain bounds of `ts` and not by a comparison of rows, so the cursor is
        // one, too.
        let isAscending = order == .asc
        let low = isAscending ? cursor.map { max($0.time, from ?? $0.time) } ?? from : from
        if let low { add({ "ts >= \($0)::timestamptz" }, Self.text(low)) }
        if let to { add({ "ts < \($0)::timestamptz" }, Self.text(to)) }
        if let cursor {
            if !isAscending { add({ "ts <= \($0)::timestamptz" }, Self.text(cursor.time)) }
            parameters.append(Self.text(cursor.time))
            parameters.append(String(decoding: formatUUID(cursor.key), as: UTF8.self))
            let place = "($\(parameters.count - 1)::timestamptz, $\(parameters.count)::uuid)"
            conditions.append("(ts, key) \(isAscending ? ">" : "<") \(place)")
        }
        if let type { add({ "type = \($0)" }, type) }
        if let source { add({ "source = \($0)" }, source) }
        if let subject { add({ "subject = \($0)" }, subject) }
        if let id {
            if parseUUID(Array(id.utf8).span) != nil {
                // An id that the server made is the key itself.
                add({ "(id = \($0) OR (key = \($0)::uuid AND id IS NULL))" }, id)
            } else {
                add({ "id = \($0)" }, id)
            }
        }
        let direction = isAscending ? "ASC" : "DESC"
        let sql = """
            SELECT \(StoredEvent.columns) FROM events
              \(conditions.isEmpty ? "" : "WHERE " + conditions.joined(separator: " AND "))
              ORDER BY ts \(direction), key \(direction) LIMIT \(count)
            """
        return (sql, parameters)
    }

    static func text(_ time: Int64) -> String { Timestamp.text(time) }
}
