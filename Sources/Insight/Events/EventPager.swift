import Postgres
import Reactor

/// Reads events page by page, each a query of its own that begins where the last one ended.
///
/// Nothing is held between pages, neither a transaction nor a connection: events that come meanwhile are
/// seen where they belong after the place reached, and none is seen twice. Pages are sized by the bytes of
/// those before.
struct EventPager {
    private let reader: PostgresPool
    private let limits: InsightLimits
    private let filter: EventFilter
    private var cursor: EventCursor?
    private var rows: Int
    private(set) var isAtEnd = false

    init(_ filter: EventFilter, after cursor: EventCursor?, reader: PostgresPool, limits: InsightLimits) {
        self.filter = filter
        self.cursor = cursor
        self.reader = reader
        self.limits = limits
        rows = limits.pageRowsFirst
    }

    /// The next events, at most `atMost` of them; none at the end.
    mutating func next(atMost: Int = .max) async throws(ReadError) -> [StoredEvent] {
        if isAtEnd { return [] }
        let count = min(rows, atMost)
        let (sql, parameters) = filter.select(after: cursor, count: count)
        let result: PostgresResult
        do throws(PostgresError) {
            result = try await reader.query(sql, parameters, deadline: .after(limits.readTimeout))
        } catch {
            throw .database(error)
        }
        var events: [StoredEvent] = []
        events.reserveCapacity(result.rows.count)
        for values in result.rows { events.append(try StoredEvent(values)) }
        isAtEnd = events.count < count
        cursor = events.last?.cursor ?? cursor
        resize(after: events)
        return events
    }

    private mutating func resize(after events: [StoredEvent]) {
        guard !events.isEmpty else { return }
        let average = max(1, events.reduce(0) { $0 + $1.byteCount } / events.count)
        rows = min(max(limits.pageBytesAimed / average, 4), rows * 4, limits.pageRowsMax)
    }
}
