import HTTP
import Server
import Testing

@testable import Insight

@Suite struct `Queries` {
    private static let now: Int64 = 1_790_000_030_000_000

    private func parameters(_ query: String, _ allowed: Set<String>) throws -> ReadParameters {
        try ReadParameters(QueryItems(Array(query.utf8).span), allowed: allowed)
    }

    private func events(_ query: String) throws -> EventsQuery {
        try EventsQuery(parameters(query, EventsQuery.parameters), limits: InsightLimits())
    }

    private func series(_ query: String) throws -> SeriesQuery {
        try SeriesQuery(parameters(query, SeriesQuery.parameters), now: Self.now, pointsMax: 10_000)
    }

    /// The code of the problem that the error becomes.
    private func code(_ error: ReadError?) -> String? {
        guard let response = error?.response(requestID: "r") else { return nil }
        #expect(response.status == 400)
        return text(response).firstMatch(of: /"code":"([a-z_0-9]+)"/).map { String($0.1) }
    }

    @Test(
        arguments: [
            ("limit=0", "invalid_limit"), ("limit=1001", "invalid_limit"), ("limit=-1", "invalid_limit"),
            ("limit=1e2", "invalid_limit"), ("limit=+5", "invalid_limit"),
            ("limit=99999999999999999999", "invalid_limit"),
            ("order=up", "invalid_order"), ("order=DESC", "invalid_order"),
            ("from=yesterday", "invalid_from"),
            ("from=2026-02-30T00:00:00Z", "invalid_from"), ("to=2026-01-01", "invalid_to"),
            ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "invalid_to"),
            ("cursor=abc", "invalid_cursor"),
            ("tpye=a", "unknown_parameter"), ("type=a&type=b", "invalid_type"),
            ("source=" + String(repeating: "x", count: 1_025), "invalid_source"),
        ]
    )
    func `for events are refused with a code that names the parameter`(query: String, expected: String) throws
    {
        let error = #expect(throws: ReadError.self) { try events(query) }
        #expect(code(error) == expected)
    }

    @Test func `for events take what the page says`() throws {
        let query = try events(
            "type=a+b&source=%2Fx&subject=&id=1&order=asc&limit=7"
                + "&from=2026-01-01T00:00:00Z&to=2026-01-01T02:00:00+02:00"
        )
        #expect(query.filter.type == "a b")
        #expect(query.filter.source == "/x")
        #expect(query.filter.subject == nil)
        #expect(query.filter.from == query.filter.to)
        #expect(query.filter.order == .asc)
        #expect(query.limit == 7)
        #expect(try events("").limit == 100)
        #expect(try events("").filter.order == .desc)
    }

    @Test(
        arguments: [
            ("metric=median", "invalid_metric"), ("metric=p50", "missing_field"),
            ("metric=p50&field=price", "invalid_field"),
            ("metric=count&field=/price", "invalid_field"), ("step=10s", "invalid_step"),
            ("step=90s", "invalid_step"),
            ("step=0m", "invalid_step"), ("step=m", "invalid_step"), ("step=1", "invalid_step"),
            ("step=-1m", "invalid_step"),
            ("step=1w", "invalid_step"), ("step=99999999d", "invalid_step"), ("step=%C3%A9", "invalid_step"),
            ("from=2026-01-01T00:00:00Z&to=2027-01-01T00:00:00Z", "invalid_step"),
            ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "invalid_to"), ("to=now", "invalid_to"),
            ("limit=5", "unknown_parameter"),
        ]
    )
    func `for series are refused with a code that names the parameter`(query: String, expected: String) throws
    {
        let error = #expect(throws: ReadError.self) { try series(query) }
        #expect(code(error) == expected)
    }

    @Test func `for series default to the last hour in minutes, the current one included`() throws {
        let query = try series("")
        #expect(query.metric == .count)
        #expect(query.pointCount == 60)
        #expect(query.firstBucket % 60_000_000 == 0)
        #expect(query.to > Self.now && query.to <= Self.now + 60_000_000)
    }

    @Test func `for series have buckets of whole steps`() throws {
        let query = try series("from=2026-01-01T10:07:30Z&to=2026-01-01T10:21:00Z&step=5m")
        // 10:05, 10:10, 10:15, 10:20; of the first and the last only the minutes asked for count.
        #expect(query.pointCount == 4)
        #expect(query.from - query.firstBucket == 120_000_000)
        #expect(try series("step=120s").step == 120_000_000)
        #expect(try series("step=1d&from=2026-01-01T00:00:00Z&to=2026-01-08T00:00:00Z").pointCount == 7)
        #expect(try series("from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z").pointCount == 0)
        #expect(try series("from=0001-01-01T00:00:30Z&to=0001-01-01T00:02:00Z").pointCount == 2)
    }
}
