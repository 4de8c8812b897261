import Events
import Reactor
import Server
import TestSupport
import Testing

@testable import Insight

@Suite(.timeLimit(.minutes(2))) struct `Accounts that are asked for` {
    /// Of two keys, one of them without a name, and of none; in this minute and in one long before.
    private func fill(_ side: ReadSide) async throws {
        try await side.run(
            "INSERT INTO keys (digest, hint, name, scopes) VALUES (sha256('a'), 'x', 'shop', '{write}')"
        )
        try await side.run(
            """
            INSERT INTO accounts
              SELECT m, stream, route, key_id, 10 * n, 7 * n, 2 * n, n, 100 * n
                FROM (VALUES (date_trunc('minute', now())), ('2026-01-01T00:00:00Z'::timestamptz)) t (m),
                     (VALUES (1, 'events', 1, 1), (2, 'events', 1, 2), (2, 'events', 0, 4),
                             (2, 'events', 9, 8)) a (stream, route, key_id, n)
            """
        )
        try await side.run(
            "INSERT INTO accounts VALUES (date_trunc('minute', now()), 1, 'replay', 1, 0, 3, 1, -4, 0)"
        )
    }

    private func accounts(_ side: ReadSide, _ query: String) async throws -> String {
        text(try await side.routes.accounts(side.parameters(query, AccountsQuery.parameters)))
    }

    @Test func `are in the statistics, of the last hour, by way in and by key`() async throws {
        try await ReadSide.with { side in
            try await fill(side)
            let json = try await side.stats()
            let routes = """
                "accounts":{"window_s":3600,"routes":[\
                {"route":"events","received":150,"stored":105,"duplicates":30,"rejected":15,"bytes":1500},\
                {"route":"replay","received":0,"stored":3,"duplicates":1,"rejected":-4,"bytes":0}],
                """
            let keys = """
                "keys":[\
                {"key":9,"name":null,"received":80,"stored":56,"duplicates":16,"rejected":8,"bytes":800},\
                {"key":null,"name":null,"received":40,"stored":28,"duplicates":8,"rejected":4,"bytes":400},\
                {"key":1,"name":"shop","received":30,"stored":24,"duplicates":7,"rejected":-1,"bytes":300}]}
                """
            #expect(json.contains(routes + keys), "\(json)")
        }
    }

    @Test func `are so many at most in the statistics, those with the most events`() async throws {
        var limits = InsightLimits()
        limits.accountSumsMax = 3
        try await ReadSide.with(limits) { side in
            try await fill(side)
            let json = try await side.stats()
            #expect(json.contains(#""keys":[{"key":9,"#) && !json.contains(#""name":"shop""#))
        }
    }

    @Test func `are those of a time, a way in and a key`() async throws {
        try await ReadSide.with { side in
            try await fill(side)
            let all = try await accounts(side, "from=2026-01-01T00:00:00Z&to=2026-01-01T00:01:00Z")
            let expected = """
                {"accounts":[{"minute":"2026-01-01T00:00:00.000000Z","route":"events","key":null,"name":null,\
                "received":40,"stored":28,"duplicates":8,"rejected":4,"bytes":400},\
                {"minute":"2026-01-01T00:00:00.000000Z","route":"events","key":1,"name":"shop",\
                "received":30,"stored":21,"duplicates":6,"rejected":3,"bytes":300},\
                {"minute":"2026-01-01T00:00:00.000000Z","route":"events","key":9,"name":null,\
                "received":80,"stored":56,"duplicates":16,"rejected":8,"bytes":800}]}
                """
            #expect(all == expected)
            func count(_ query: String) async throws -> Int {
                try await accounts(side, query).matches(of: /"minute"/).count
            }
            #expect(try await count("") == 4)
            #expect(try await count("route=replay") == 1)
            #expect(try await count("key=1") == 2)
            #expect(try await count("key=0&from=2025-01-01T00:00:00Z") == 2)
            #expect(try await count("key=7") == 0)
            #expect(try await count("to=2026-01-01T00:00:00Z") == 0, "half open")
        }
    }

    @Test func `are refused when they are too many, or the question is wrong`() async throws {
        var limits = InsightLimits()
        limits.accountsMax = 3
        try await ReadSide.with(limits) { side in
            try await fill(side)
            #expect(try await accounts(side, "route=events").matches(of: /"minute"/).count == 3)
            for query in ["", "key=x", "key=-1", "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"] {
                let error = await #expect(throws: ReadError.self) { try await accounts(side, query) }
                #expect(error?.response(requestID: "r").status == 400, "\(query)")
            }
        }
    }
}
