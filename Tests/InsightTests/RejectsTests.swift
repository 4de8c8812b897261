import Events
import Foundation
import Postgres
import Server
import TestSupport
import Testing

@testable import Insight

@Suite(.timeLimit(.minutes(2))) struct `Rejects` {
    private struct Page: Decodable {
        struct Reject: Decodable, Equatable {
            var n: Int64
            var code: String
            var raw: String?
        }

        var rejects: [Reject]
        var nextCursor: String?
    }

    /// Rejects of three moments, many at each, the later ones first as often as not.
    private static func fill(_ side: ReadSide, count: Int = 23, rawBytes: Int = 2) async throws {
        try await side.run(
            """
            INSERT INTO rejects (received_at, code, pointer, detail, raw, request_id)
              SELECT date_trunc('hour', now()) + interval '1 second' * (i * 7 % 3),
                     CASE i % 4 WHEN 0 THEN 'missing_type' ELSE 'invalid_time' END, '/p', 'd',
                     convert_to(repeat('x', \(rawBytes)), 'UTF8'), 'r' || i
                FROM generate_series(1, \(count)) i
            """
        )
    }

    private static func page(_ side: ReadSide, _ query: String) async throws -> Page {
        let answer = try await side.rejects(query)
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Page.self, from: Data(answer.utf8))
    }

    private static func walk(_ side: ReadSide, _ query: String) async throws -> [[Int64]] {
        var pages: [[Int64]] = []
        var cursor = ""
        repeat {
            let page = try await page(side, query + cursor)
            pages.append(page.rejects.map(\.n))
            cursor = page.nextCursor.map { "&cursor=\($0)" } ?? ""
        } while !cursor.isEmpty && pages.count < 100
        return pages
    }

    @Test func `come newest first, each on one page, whatever the size of pages`() async throws {
        try await ReadSide.with { side in
            try await Self.fill(side)
            let rows = try await side.run("SELECT n FROM rejects ORDER BY received_at DESC, n DESC").rows
            let all = rows.compactMap { $0[0].flatMap { Int64($0) } }
            for limit in [1, 2, 5, 22, 23, 24] {
                let pages = try await Self.walk(side, "limit=\(limit)")
                #expect(pages.flatMap { $0 } == all, "limit \(limit)")
                #expect(pages.dropLast().allSatisfy { $0.count == limit }, "limit \(limit)")
                #expect(pages.allSatisfy { !$0.isEmpty }, "limit \(limit)")
            }
        }
    }

    @Test func `are neither skipped nor repeated while others come and go`() async throws {
        try await ReadSide.with { side in
            try await Self.fill(side)
            let first = try await Self.page(side, "limit=10")
            let cursor = try #require(first.nextCursor)
            let rest = try await Self.page(side, "limit=100&cursor=\(cursor)").rejects.map(\.n)
            // The one that the page ended with is replayed, and new ones come.
            try await side.run("DELETE FROM rejects WHERE n = $1", ["\(first.rejects[9].n)"])
            try await side.run(
                """
                INSERT INTO rejects (received_at, code, pointer, detail, raw, request_id)
                  VALUES (date_trunc('hour', now()) + interval '3 seconds', 'c', '', '', '', 'r')
                """
            )
            #expect(try await Self.page(side, "limit=100&cursor=\(cursor)").rejects.map(\.n) == rest)
            #expect(rest.count == 13)
        }
    }

    @Test func `are found by code and by when they were received`() async throws {
        try await ReadSide.with { side in
            try await Self.fill(side)
            let rejects = try await Self.page(side, "code=missing_type").rejects
            #expect(rejects.count == 5 && rejects.allSatisfy { $0.code == "missing_type" })
            let moments = try await side.run(
                "SELECT DISTINCT (extract(epoch FROM received_at) * 1000000)::bigint FROM rejects ORDER BY 1"
            ).rows.compactMap { $0[0].flatMap { Int64($0) } }
            let times = moments.map { EventFilter.text($0) }
            let middle = try await Self.walk(side, "limit=3&from=\(times[1])&to=\(times[2])").flatMap { $0 }
            let expected = try await side.run(
                "SELECT n FROM rejects WHERE received_at = $1::timestamptz ORDER BY n DESC",
                [times[1]]
            ).rows.compactMap { $0[0].flatMap { Int64($0) } }
            #expect(middle == expected)
        }
    }

    @Test func `end a page early where they are large`() async throws {
        var limits = InsightLimits()
        limits.rejectsBytesMax = 1_000
        try await ReadSide.with(limits) { side in
            try await Self.fill(side, count: 7, rawBytes: 400)
            let pages = try await Self.walk(side, "limit=5")
            #expect(pages.map(\.count) == [3, 3, 1])
            try await side.run("DELETE FROM rejects")
            try await Self.fill(side, count: 2, rawBytes: 5_000)
            #expect(try await Self.walk(side, "").map(\.count) == [1, 1])
        }
    }

    @Test func `are told whole, byte for byte`() async throws {
        try await ReadSide.with { side in
            let time = EventFilter.text(Self.noon)
            try await side.run(
                """
                INSERT INTO rejects (received_at, id, code, pointer, detail, raw, request_id, key_id) VALUES
                  ('\(time)', 'i"1', 'invalid_time', '/time', 'late', '\\x7b0022', 'q-1', 5),
                  ('\(time)', NULL, 'malformed_json', '', 'd', '\\xff00', 'q-2', NULL)
                """
            )
            let first =
                #"{"n":1,"code":"invalid_time","pointer":"/time","detail":"late","id":"i\"1","#
                + #""received_at":"\#(time)","request_id":"q-1","key_id":5,"raw":"{\u0000\""}"#
            let second =
                #"{"n":2,"code":"malformed_json","pointer":"","detail":"d","id":null,"#
                + #""received_at":"\#(time)","request_id":"q-2","key_id":null,"raw_base64":"/wA="}"#
            #expect(text(try await side.routes.reject("1")) == first)
            #expect(text(try await side.routes.reject("2")) == second)
            #expect(try await side.rejects("") == #"{"rejects":[\#(second),\#(first)],"next_cursor":null}"#)
            for number in ["3", "x", "-1", "1.0", "99999999999999999999"] {
                let error = await #expect(throws: ReadError.self) { try await side.routes.reject(number) }
                #expect(error?.response(requestID: "r").status == 404, "\(number)")
            }
        }
    }

    /// Of today, which has a partition.
    private static let noon = Int64(Date().timeIntervalSince1970) / 86_400 * 86_400_000_000 + 43_200_000_000

    @Test func `are not looked for with parameters that nobody knows`() async throws {
        try await ReadSide.with { side in
            for query in [
                "limit=0", "limit=1001", "code=nonsense", "from=x", "cursor=AAAA", "type=t",
                "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
                "cursor=\(EventCursor(time: 0, key: 1).text)",
            ] {
                let error = await #expect(throws: ReadError.self) { try await side.rejects(query) }
                #expect(error?.response(requestID: "r").status == 400, "\(query)")
            }
        }
    }
}

@Suite struct `A reject cursor` {
    @Test func `reads back as it was written, and is none when any character of it is another`() {
        var random = SplitMix(seed: 3)
        for round in 0..<500 {
            let cursor = RejectCursor(
                receivedAt: Int64.random(in: Timestamp.range, using: &random),
                n: Int64(bitPattern: random.next())
            )
            #expect(cursor.text.wholeMatch(of: /[A-Za-z0-9_-]{24}/) != nil, "round \(round)")
            #expect(RejectCursor(text: cursor.text) == cursor, "round \(round): \(cursor.text)")
        }
        let text = RejectCursor(receivedAt: 1_790_000_000_000_000, n: 77).text
        for index in text.indices {
            var broken = text
            broken.replaceSubrange(index...index, with: text[index] == "A" ? "B" : "A")
            #expect(RejectCursor(text: broken) == nil, "\(broken)")
        }
    }
}
