import Events

/// What `/v1/rejects` was asked for, checked.
struct RejectsQuery: Equatable, Sendable {
    static let parameters: Set<String> = ["code", "from", "to", "limit", "cursor"]

    let code: RejectCode?
    /// When they were received, in microseconds since 1970, inclusive.
    let from: Int64?
    /// Exclusive.
    let to: Int64?
    let limit: Int
    let cursor: RejectCursor?

    init(_ parameters: ReadParameters, limits: InsightLimits) throws(ReadError) {
        code = try parameters.choice("code")
        from = try parameters.time("from")
        to = try parameters.time("to")
        if let from, let to, from > to { throw .invalid(parameter: "to", "\"to\" is before \"from\".") }
        limit =
            try parameters.integer("limit", in: 1...limits.rejectsLimitMax) ?? limits.rejectsLimitDefault
        cursor = try parameters.text("cursor").map { text throws(ReadError) in
            guard let cursor = RejectCursor(text: text) else {
                throw .invalid(parameter: "cursor", "The cursor is none that this service has given out.")
            }
            return cursor
        }
    }

    /// A statement, with its parameters, for the page: newest first, each row with the number of rows that
    /// there would be without the bound of bytes, and one more than the limit if there are more.
    ///
    /// A page ends early once it holds `bytesMax` of raw bytes; that is decided here, before they travel.
    /// They are not looked at for it: octet_length knows from the pointer.
    func select(bytesMax: Int) -> (sql: String, parameters: [String?]) {
        var conditions: [String] = []
        var parameters: [String?] = []
        func add(_ value: String, _ condition: (String) -> String) {
            parameters.append(value)
            conditions.append(condition("$\(parameters.count)"))
        }
        if let code { add(code.rawValue) { "code = \($0)" } }
        if let from { add(EventFilter.text(from)) { "received_at >= \($0)::timestamptz" } }
        if let to { add(EventFilter.text(to)) { "received_at < \($0)::timestamptz" } }
        if let cursor {
            // Partitions are pruned by plain bounds and not by a comparison of rows.
            add(EventFilter.text(cursor.receivedAt)) { "received_at <= \($0)::timestamptz" }
            let time = "$\(parameters.count)::timestamptz"
            add("\(cursor.n)") { "(received_at, n) < (\(time), \($0)::bigint)" }
        }
        let sql = """
            SELECT \(StoredReject.columns), allowed FROM
              (SELECT *, count(*) OVER () AS allowed,
                      sum(octet_length(raw)) OVER (ORDER BY received_at DESC, n DESC)
                        - octet_length(raw) AS before
                 FROM (SELECT * FROM rejects
                         \(conditions.isEmpty ? "" : "WHERE " + conditions.joined(separator: " AND "))
                         ORDER BY received_at DESC, n DESC LIMIT \(limit + 1)) l) p
              WHERE before < \(bytesMax) ORDER BY received_at DESC, n DESC LIMIT \(limit)
            """
        return (sql, parameters)
    }
}
