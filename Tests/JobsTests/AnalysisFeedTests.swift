import Analytics
import Events
import Postgres
import Reactor
import TestSupport
import Testing
import Workers

@testable import Jobs

@Suite(.timeLimit(.minutes(3))) struct `The feed of an analysis` {
    /// Every line of the feed, and how large its pieces were.
    private func read(_ feed: AnalysisFeed) async throws -> (lines: [[String: JSONValue]], pieces: [Int]) {
        var lines: [[String: JSONValue]] = []
        var pieces: [Int] = []
        while true {
            switch await feed.next() {
            case .end: return (lines, pieces)
            case .failed(let reason):
                Issue.record("\(reason)")
                return (lines, pieces)
            case .bytes(let bytes):
                #expect(bytes.last == UInt8(ascii: "\n"))
                pieces.append(bytes.count)
                for line in bytes.split(separator: UInt8(ascii: "\n")) {
                    lines.append(try JSONReader.object(Array(line)))
                }
            }
        }
    }

    /// Three hundred events of today, many at one time, and one before and one behind the range.
    private func fill(_ installation: Installation) async throws -> (start: Int64, stored: [[String?]]) {
        try await installation.sql(
            """
            INSERT INTO events (key, ts, received_at, type, source, subject, data, seq, bucket)
                SELECT gen_random_uuid(), date_trunc('day', now(), 'UTC') + (n / 7) * interval '1 s', now(),
                    CASE n % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b"' ELSE 'c' END, '/' || n % 2, 's' || n % 5,
                    jsonb_build_object('plan', 'p' || n % 4, 'a/b',
                        jsonb_build_array(n, repeat('x', n * 10))), n, 0
                FROM generate_series(0, 299) n
            """
        )
        let start = try await installation.number(
            "SELECT (extract(epoch FROM date_trunc('day', now(), 'UTC')) * 1000000)::bigint"
        )
        let stored = try await installation.sql(
            """
            SELECT (extract(epoch FROM ts) * 1000000)::bigint, type, source, subject, data ->> 'plan',
                    data -> 'a/b' ->> 0, length(data -> 'a/b' ->> 1) FROM events ORDER BY ts, key
            """
        )
        return (start, stored)
    }

    @Test func `has every event of the range once, in the order of times, however small its pieces`()
        async throws
    {
        try await Installation.with { installation in
            let (start, stored) = try await fill(installation)
            let reader = try await installation.connect(name: "feed")
            let end = start + 30_000_000
            let expected = stored.filter { row in (row[0].flatMap { Int64($0) } ?? 0) < end }
            #expect(expected.count == 210)
            for bytesMax in [1, 700, 5_000, 1 << 20] {
                var limits = AnalysisFeedLimits()
                limits.bytesMax = bytesMax
                limits.rowsMax = bytesMax == 700 ? 3 : 100
                let needs = AnalysisNeeds(
                    range: start..<end,
                    types: [],
                    source: nil,
                    fields: ["/plan", "/a~1b/1"]
                )
                let feed = AnalysisFeed(needs, connection: reader, limits: limits)
                let (lines, pieces) = try await read(feed)
                #expect(lines.count == 210, "\(bytesMax)")
                // One line beyond the bound at most; the longest has a text of a thousand characters.
                #expect(pieces.allSatisfy { $0 <= bytesMax + 1_300 }, "\(bytesMax): \(pieces.max() ?? 0)")
                for (line, row) in zip(lines, expected) {
                    #expect(line["ts"]?.integer == row[0].flatMap { Int64($0) })
                    #expect(line["type"]?.string == row[1] && line["source"]?.string == row[2])
                    #expect(line["subject"]?.string == row[3])
                    guard case .array(let fields)? = line["fields"] else {
                        Issue.record("no fields")
                        return
                    }
                    #expect(fields[0].string == row[4])
                    // Long texts come as their beginning and a hash.
                    let length = row[6].flatMap { Int($0) } ?? 0
                    #expect(fields[1].string?.utf8.count == (length <= 1_024 ? length : 992))
                }
            }
            await reader.close()
        }
    }

    @Test func `reads the types and the source alone that are asked for`() async throws {
        try await Installation.with { installation in
            let (start, stored) = try await fill(installation)
            let reader = try await installation.connect(name: "feed")
            let needs = AnalysisNeeds(
                range: start..<start + 3_600_000_000,
                types: ["a", "b\""],
                source: "/1",
                fields: []
            )
            let (lines, _) = try await read(AnalysisFeed(needs, connection: reader))
            let expected = stored.filter { ["a", "b\""].contains($0[1]) && $0[2] == "/1" }
            #expect(lines.count == expected.count && lines.count == 100)
            #expect(lines.allSatisfy { $0["fields"] == .array([]) })
            await reader.close()
        }
    }

    @Test func `takes pointers apart as RFC 6901 says`() {
        #expect(AnalysisFeed.path("/a") == ["a"])
        #expect(AnalysisFeed.path("/a~1b/m~0n/0/") == ["a/b", "m~n", "0", ""])
        #expect(AnalysisFeed.path("/~01") == ["~1"])
    }

    @Test func `says so when the database is away, instead of ending`() async throws {
        try await Installation.with { installation in
            let reader = PostgresConnection(
                PostgresConfiguration(conninfo: "host=/nowhere"),
                name: "feed",
                loop: installation.loop,
                logger: TestCluster.logger
            )
            let needs = AnalysisNeeds(range: 0..<1, types: [], source: nil, fields: [])
            var limits = AnalysisFeedLimits()
            limits.connect = .milliseconds(50)
            let feed = AnalysisFeed(needs, connection: reader, limits: limits)
            guard case .failed(let reason) = await feed.next() else {
                Issue.record("it did not fail")
                return
            }
            #expect(reason.hasPrefix("its events could not be read"))
        }
    }
}
