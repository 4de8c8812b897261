import Events
import Foundation
import Postgres
import Reactor
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Events that an ingestor stores` {
    @Test func `stores each event once with all that it carries`() async throws {
        try await Installation.with { installation in
            try await installation.withNode { node in
                let text = """
                    {"id":"a","type":"t.x","source":"/s","subject":"u 1","time":"2026-01-02T03:04:05.678901Z",
                     "specversion":"1.0","tag":"\\u00e9","data":{"a":[1,2.50,"x\\ty"]}}
                    """
                let binary = #"{"id":"b","type":"t","source":"/s","data_base64":"AAEC/w=="}"#
                let fresh = #"{"type":"t"}"#
                let receivedAt: Int64 = WallClock.microseconds()

                let verdicts = try await node.store([text, binary, fresh], receivedAt: receivedAt)
                #expect(verdicts == [.stored, .stored, .stored])

                let rows = try await installation.sql(
                    """
                    SELECT key, to_char(ts, 'YYYY-MM-DD HH24:MI:SS.US'),
                      type, source, subject, id, attributes, data,
                      data_bytes, bucket FROM events ORDER BY id
                    """
                )
                #expect(
                    rows[0] == [
                        EventKey.text(source: "/s", id: "a"), "2026-01-02 03:04:05.678901", "t.x", "/s",
                        "u 1", "a",
                        #"{"tag": "é", "specversion": "1.0"}"#, #"{"a": [1, 2.50, "x\ty"]}"#, nil, rows[0][9],
                    ]
                )
                #expect(rows[1][4...8] == [nil, "b", nil, nil, "\\x000102ff"])
                #expect(rows[2][3] == "/" && rows[2][5] == nil && rows[2][7] == nil)
                let times = "to_timestamp(\(receivedAt) / 1e6)"
                #expect(
                    try await installation.number(
                        "SELECT count(*) FROM events "
                            + "WHERE abs(extract(epoch FROM received_at - \(times))) < 1e-5"
                    ) == 3
                )
                #expect(try await installation.number("SELECT count(*) FROM event_keys") == 1)
                #expect(
                    try await installation.totals()
                        == Totals(stored: 3, bytes: (text + binary + fresh).utf8.count)
                )
            }
        }
    }

    @Test func `recognises what it has stored lately`() async throws {
        try await Installation.with { installation in
            try await installation.withNode { node in
                let texts = Decoded.dated(0..<10) + Decoded.undated(0..<10)
                try await node.expect(.stored, of: texts)
                try await node.expect(.duplicate, of: texts)
                let mixed = try await node.store(Decoded.dated(5..<15))
                #expect(mixed == Array(repeating: .duplicate, count: 5) + Array(repeating: .stored, count: 5))

                #expect(try await installation.number("SELECT count(*) FROM events") == 25)
                let totals = try await installation.totals()
                #expect(totals.stored == 25 && totals.duplicates == 25)
            }
        }
    }

    @Test func `recognises what another process has stored, on the dedup path`() async throws {
        try await Installation.with { installation in
            let texts = Decoded.dated(0..<20) + Decoded.undated(0..<20) + Decoded.fresh(0..<3)
            try await installation.withNode { try await $0.expect(.stored, of: texts) }
            try await installation.withNode { node in
                // Dated only first: optimistic, and back.
                try await node.expect(.duplicate, of: Decoded.dated(0..<20))
                let mixed = Decoded.dated([100]) + texts + Decoded.undated([100])
                let expected: [Verdict] =
                    [.stored] + Array(repeating: .duplicate, count: 40) + Array(repeating: .stored, count: 4)
                #expect(try await node.store(mixed) == expected)
                #expect(node.log.parts.allSatisfy { $0.lines.split(separator: 10).count <= 5 })
            }

            #expect(try await installation.number("SELECT count(*) FROM events") == 48)
            let totals = try await installation.totals()
            #expect(totals.stored == 48 && totals.duplicates == 60)
            try await installation.expectJobsCoverEvents()
        }
    }

    @Test func `lets event_keys and its older generation decide about undated events`() async throws {
        try await Installation.with { installation in
            try await installation.withNode { try await $0.expect(.stored, of: Decoded.undated(0..<6)) }
            // What the rotation does: the older generation has some of the keys, and some are past the
            // window.
            try await installation.sql(
                "WITH moved AS (DELETE FROM event_keys RETURNING *) "
                    + "INSERT INTO event_keys_previous SELECT * FROM moved"
            )
            try await installation.sql(
                "DELETE FROM event_keys_previous WHERE key = '\(EventKey.text(source: "/test", id: "u-5"))'"
            )
            try await installation.withNode { node in
                let verdicts = try await node.store(Decoded.undated(3..<8))
                #expect(verdicts == [.duplicate, .duplicate, .stored, .stored, .stored])
            }

            #expect(try await installation.number("SELECT count(*) FROM events") == 9)
            #expect(try await installation.number("SELECT count(*) FROM event_keys") == 3)
        }
    }

    @Test func `reports what it has stored as job lines that match the rows`() async throws {
        try await Installation.with { installation in
            try await installation.withNode { node in
                let pretty = """
                    {"id":"p","type":"quo\\"te","source":"/\\u2028",\
                     "subject":"tab\\t","time":"2026-01-02T03:04:05Z",
                     "data":{\r\n  "a": [1,\n\t2],\r\n  "s": "line\\nfeed"\n}}
                    """
                _ = try await node.store(
                    [pretty] + Decoded.dated(0..<5) + Decoded.undated(0..<3) + Decoded.fresh([0])
                )

                for part in node.log.parts {
                    let stream = try #require(node.configuration.streams.first)
                    #expect(part.stream == stream && part.lo >> 40 == stream && part.hi - part.lo == 10)
                    let lines = part.lines.split(separator: 10)
                    #expect(part.lines.last == 10 && lines.count == 10)
                    let rows = try await installation.sql(
                        """
                        SELECT (extract(epoch FROM ts) * 1000000)::bigint,
                          type, source, subject, data FROM events
                          WHERE seq >= \(part.lo) AND seq < \(part.hi) ORDER BY seq
                        """
                    )
                    for (line, row) in zip(lines, rows) {
                        let object = try #require(
                            try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
                        )
                        #expect(object["ts"] as? Int == row[0].flatMap { Int($0) })
                        #expect(object["type"] as? String == row[1])
                        #expect(object["source"] as? String == row[2])
                        #expect(object["subject"] as? String == row[3])
                        let data = try JSONSerialization.jsonObject(
                            with: Data((row[4] ?? "null").utf8),
                            options: .fragmentsAllowed
                        )
                        #expect((object["data"] as? NSObject) == (data as? NSObject))
                    }
                }
                #expect(node.log.parts.count == 1)
            }
        }
    }

    @Test func `keeps rejections with their raw bytes, once`() async throws {
        try await Installation.with { installation in
            try await installation.withNode { node in
                let bad = [
                    "{\"type\": 7, \"id\": \"x\\u0041\"}", "no\tjson",
                    "{\"type\":\"a\\u0000b\",\"id\":\"z\"}",
                ]
                let verdicts = try await node.store(
                    bad + Decoded.dated([1]) + Decoded.undated([1]),
                    requestID: "r-1"
                )
                #expect(verdicts == [.stored, .stored])
                #expect(try await node.store([bad[0]], requestID: "r-2").isEmpty)

                let rows = try await installation.sql(
                    "SELECT id, code, pointer, convert_from(raw, 'UTF8'), request_id FROM rejects ORDER BY n"
                )
                #expect(
                    rows == [
                        ["xA", "invalid_type", "/type", bad[0], "r-1"],
                        [nil, "malformed_json", "", bad[1], "r-1"],
                        ["z", "unstorable_text", "/type", bad[2], "r-1"],
                        ["xA", "invalid_type", "/type", bad[0], "r-2"],
                    ]
                )
                let totals = try await installation.totals()
                #expect(totals.rejected == 4 && totals.stored == 2)
            }
        }
    }

    @Test func `writes little in one transaction at a time, and much beside another one`() async throws {
        try await Installation.with { installation in
            var limits = BatchLimits()
            limits.parallelEventsMin = 10
            try await installation.withNode(writers: 2, limits: limits) { node in
                let storing = try await installation.holdingStreams {
                    let first = Task { try await node.store(Decoded.dated([0])) }
                    let pid = try await installation.waitingWriter()
                    // Too little for a transaction of its own, until there is more behind it.
                    let little = Task { try await node.store(Decoded.dated(1..<3)) }
                    let deadline = TestCluster.deadline
                    while node.ingestor.pendingBytes == 0, Deadline.now() < deadline { await Task.yield() }
                    let much = Task { try await node.store(Decoded.dated(3..<13)) }
                    _ = try await installation.waitingWriter(otherThan: pid)
                    return [first, little, much]
                }
                for task in storing { #expect(try await task.value.allSatisfy { $0 == .stored }) }
                #expect(try await installation.number("SELECT count(DISTINCT xmin::text) FROM events") == 2)
            }
        }
    }

    @Test func `adds up over two nodes that race for the same events`() async throws {
        try await Installation.with { installation in
            for seed in 0..<6 as Range<UInt64> {
                try await installation.sql(
                    "TRUNCATE events, event_keys, event_keys_previous, jobs, accounts"
                )
                try await installation.sql("DELETE FROM streams")
                var limits = BatchLimits()
                limits.cutEventsMax = 50
                try await installation.withNode(writers: 2, limits: limits) { left in
                    try await installation.withNode(writers: 2, limits: limits) { right in
                        let sent = try await Self.race(left, right, seed: seed)

                        let totals = try await installation.totals()
                        #expect(
                            try await installation.number("SELECT count(*) FROM events") == sent.distinct,
                            "seed \(seed)"
                        )
                        #expect(sent.stored == sent.distinct, "seed \(seed)")
                        #expect(
                            totals.stored == sent.stored && totals.duplicates == sent.duplicates,
                            "seed \(seed)"
                        )
                    }
                }
                try await installation.expectJobsCoverEvents()
            }
        }
    }

    private struct Sent {
        var distinct = 0
        var stored = 0
        var duplicates = 0
    }

    /// Sends overlapping batches to both at once, in shuffled order.
    private static func race(_ left: Node, _ right: Node, seed: UInt64) async throws -> Sent {
        var random = SplitMix(seed: seed)
        var batches: [(Node, [String])] = []
        let all =
            Decoded.dated(0..<120, prefix: "race-\(seed)") + Decoded.undated(0..<60, prefix: "race-\(seed)")
        for node in [left, right] {
            var rest = all.shuffled(using: &random)
            while !rest.isEmpty {
                let count = min(rest.count, Int.random(in: 1...40, using: &random))
                batches.append((node, Array(rest.prefix(count))))
                rest.removeFirst(count)
            }
        }
        batches.shuffle(using: &random)
        let verdicts = try await withThrowingTaskGroup(of: [Verdict].self) { group in
            for (node, texts) in batches { group.addTask { try await node.store(texts) } }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        return Sent(
            distinct: all.count,
            stored: verdicts.count { $0 == .stored },
            duplicates: verdicts.count { $0 == .duplicate }
        )
    }

    @Test func `is fenced when its node has been buried`() async throws {
        try await Installation.with { installation in
            try await installation.withNode { node in
                _ = try await node.store(Decoded.dated(0..<3) + ["{}"])
                try await installation.sql("SELECT bury_node($1)", [node.epoch])

                await #expect(throws: IngestError.fenced) { try await node.store(Decoded.dated(10..<12)) }
                await node.log.wait(fences: 1)
                await #expect(throws: IngestError.fenced) { try await node.store(Decoded.dated(10..<12)) }

                #expect(node.log.fences == 1)
                #expect(try await installation.number("SELECT count(*) FROM events") == 3)
                let totals = try await installation.totals()
                #expect(totals.stored == 3 && totals.rejected == 1)
                try await installation.expectJobsCoverEvents()
            }
        }
    }
}
