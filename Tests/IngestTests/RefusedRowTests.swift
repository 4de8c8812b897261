import Events
import Foundation
import Postgres
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Row that PostgreSQL refuses` {
    private static let poison =
        #"{"id":"bad","type":"poison","source":"/test","subject":"s","#
        + #""time":"2026-01-02T03:04:05Z","tag":true,"data":{"x":1}}"#

    private static func forbidPoison(_ installation: Installation) async throws {
        try await installation.sql("ALTER TABLE events ADD CONSTRAINT no_poison CHECK (type <> 'poison')")
    }

    @Test func `becomes a reject while its neighbours are stored`() async throws {
        try await Installation.with { installation in
            try await Self.forbidPoison(installation)
            try await installation.withNode { node in
                for (round, position) in [0, 3, 7, 19].enumerated() {
                    var texts =
                        Decoded.dated(round * 100..<round * 100 + 10)
                        + Decoded.undated(round * 10..<round * 10 + 9)
                    texts.insert(Self.poison, at: position)

                    let verdicts = try await node.store(texts + ["{}"], requestID: "r-\(round)")

                    var expected = [Verdict](repeating: .stored, count: 19)
                    expected.insert(.refused(sqlState: "23514"), at: position)
                    #expect(verdicts == expected)
                }
                let totals = try await installation.totals()
                #expect(totals.stored == 76 && totals.rejected == 8 && totals.duplicates == 0)
                #expect(try await installation.number("SELECT count(*) FROM events") == 76)
                let rejects = try await installation.sql(
                    "SELECT request_id, code, id FROM rejects ORDER BY request_id, code"
                )
                #expect(
                    rejects
                        == (0..<4).flatMap {
                            [["r-\($0)", "missing_type", nil], ["r-\($0)", "refused_by_database", "bad"]]
                        }
                )
                #expect(
                    node.log.parts.allSatisfy {
                        !String(decoding: $0.lines, as: UTF8.self).contains("poison")
                    }
                )
            }
            try await installation.expectJobsCoverEvents()
        }
    }

    @Test func `keeps the whole event in its reject`() async throws {
        try await Installation.with { installation in
            try await Self.forbidPoison(installation)
            try await installation.withNode { node in
                let undated = #"{"type":"poison","source":"/\"q\"","data_base64":"AAEC"}"#
                #expect(try await node.store([Self.poison, undated]).count == 2)

                let rows = try await installation.sql(
                    "SELECT convert_from(raw, 'UTF8') FROM rejects ORDER BY id"
                )
                let kept = try rows.map {
                    try JSONSerialization.jsonObject(with: Data(($0[0] ?? "").utf8)) as? NSObject
                }
                let sent = try [Self.poison, undated].map {
                    try JSONSerialization.jsonObject(with: Data($0.utf8)) as? NSObject
                }
                func withoutTime(_ object: NSObject?) -> NSDictionary? {
                    let copy = (object as? NSDictionary)?.mutableCopy() as? NSMutableDictionary
                    copy?.removeObject(forKey: "time")
                    return copy
                }
                #expect(kept.map(withoutTime) == sent.map(withoutTime))
                // The same moment in the spelling of ours.
                #expect((kept[0] as? NSDictionary)?["time"] as? String == "2026-01-02T03:04:05.000000Z")
            }
        }
    }

    /// Whatever an operator forbids events by.
    @Test func `may be forbidden by a foreign key or a trigger as well`() async throws {
        try await Installation.with { installation in
            try await installation.sql("CREATE TABLE types AS VALUES ('t0'), ('t1'), ('t2')")
            try await installation.sql("ALTER TABLE types ADD PRIMARY KEY (column1)")
            try await installation.sql("ALTER TABLE events ADD FOREIGN KEY (type) REFERENCES types")
            try await installation.sql(
                """
                CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS
                  'BEGIN IF NEW.subject = ''s4'' THEN RAISE EXCEPTION ''no''; END IF; RETURN NEW; END'
                """
            )
            try await installation.sql(
                "CREATE TRIGGER forbid BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION forbid()"
            )
            try await installation.withNode { node in
                let verdicts = try await node.store(Decoded.dated(0..<6) + [Self.poison])
                #expect(
                    verdicts == [
                        .stored, .stored, .stored, .stored, .refused(sqlState: "P0001"), .stored,
                        .refused(sqlState: "23503"),
                    ]
                )
                let totals = try await installation.totals()
                #expect(totals.stored == 5 && totals.rejected == 2)
            }
        }
    }

    /// Were they several, one that fails would leave what the others have counted, to be counted again when
    /// the batch comes out of the spool.
    @Test func `is kept in the one transaction that stores its neighbours`() async throws {
        try await Installation.with { installation in
            try await Self.forbidPoison(installation)
            try await installation.withNode { node in
                let texts = Decoded.dated(0..<5) + [Self.poison] + Decoded.dated(5..<9)
                #expect(try await node.store(texts + ["{}"]).count { $0 == .stored } == 9)

                let transactions = try await installation.number(
                    """
                    SELECT count(DISTINCT xmin::text) FROM
                      (SELECT xmin FROM events UNION ALL SELECT xmin FROM rejects) rows
                    """
                )
                #expect(transactions == 1)
                #expect(try await installation.number("SELECT count(*) FROM rejects") == 2)
            }
        }
    }

    /// A second copy in the same batch is not in the table any more than the first.
    @Test func `is refused as often as it is in a batch`() async throws {
        try await Installation.with { installation in
            try await Self.forbidPoison(installation)
            try await installation.withNode { node in
                let refused = Verdict.refused(sqlState: "23514")
                let verdicts = try await node.store([Self.poison] + Decoded.dated([1]) + [Self.poison])
                #expect(verdicts == [refused, .stored, refused])

                let totals = try await installation.totals()
                #expect(totals.stored == 1 && totals.rejected == 2 && totals.duplicates == 0)
                #expect(try await installation.number("SELECT count(*) FROM rejects") == 2)
            }
        }
    }

    /// What was refused is no duplicate of itself: its sender would take that for success.
    @Test func `is refused again when it is sent again, and stored once it is allowed`() async throws {
        try await Installation.with { installation in
            try await Self.forbidPoison(installation)
            try await installation.withNode { node in
                #expect(try await node.store([Self.poison]) == [.refused(sqlState: "23514")])
                #expect(try await node.store([Self.poison]) == [.refused(sqlState: "23514")])
                try await installation.sql("ALTER TABLE events DROP CONSTRAINT no_poison")
                #expect(try await node.store([Self.poison]) == [.stored])
            }
        }
    }

    @Test func `takes nothing from the counts of its batch`() async throws {
        try await Installation.with { installation in
            try await Self.forbidPoison(installation)
            try await installation.withNode { node in
                _ = try await node.store(Decoded.dated(0..<3))
                // Only the refused row is left to write; the duplicates and the reject are counted all the
                // same.
                let texts = Decoded.dated(0..<3) + [Self.poison, "{}"]
                #expect(
                    try await node.store(texts)
                        == [.duplicate, .duplicate, .duplicate, .refused(sqlState: "23514")]
                )

                let totals = try await installation.totals()
                let bytes = (Decoded.dated(0..<3) + texts).reduce(0) { $0 + $1.utf8.count }
                #expect(totals == Totals(stored: 3, duplicates: 3, rejected: 2, bytes: bytes))
            }
        }
    }

    /// Several requests in one flush: each reject keeps its own request's id.
    @Test func `leaves other requests' rejects theirs`() async throws {
        try await Installation.with { installation in
            try await Self.forbidPoison(installation)
            try await installation.withNode { node in
                _ = try await node.store(Decoded.dated([0]))
                try await installation.sql("DELETE FROM rejects")
                let storing = try await installation.holdingStreams {
                    let first = Task { try await node.store(Decoded.dated([1])) }
                    _ = try await installation.waitingWriter()
                    // These two queue up and share the next flush.
                    return [
                        first, Task { try await node.store(["[]"], requestID: "other") },
                        Task { try await node.store([Self.poison], requestID: "poisoned") },
                    ]
                }
                for task in storing { _ = try await task.value }

                let rejects = try await installation.sql("SELECT request_id, code FROM rejects ORDER BY 1")
                #expect(rejects == [["other", "not_an_object"], ["poisoned", "refused_by_database"]])
            }
        }
    }

    @Test func `does not keep a cut from being made`() async throws {
        try await Installation.with { installation in
            try await Self.forbidPoison(installation)
            var limits = BatchLimits()
            limits.cutEventsMax = 4
            limits.cutInterval = .seconds(3_600)
            try await installation.withNode(limits: limits) { node in
                _ = try await node.store(Decoded.dated(0..<3))
                _ = try await node.store([Self.poison])

                #expect(node.log.cuts == 1)
                #expect(try await installation.number("SELECT count(*) FROM jobs") == 1)
                try await installation.expectJobsCoverEvents()
            }
        }
    }
}
