import Events
import Foundation
import Testing

@testable import Ingest

@Suite struct `Ingest answer` {
    private static func object(_ json: [UInt8]) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(json)) as? [String: Any])
    }

    @Test func `adds up and lists what was made and what was wrong`() throws {
        let arena = Decoded.events(
            Decoded.fresh([0]) + ["{}"] + Decoded.dated([1, 2]) + Decoded.fresh([3]) + ["nonsense"]
        )
        var answer = IngestAnswer(listsVerdicts: false)

        answer.add(arena, verdicts: [.stored, .duplicate, .refused(sqlState: "23514"), .stored])

        let json = try Self.object(answer.json(.committed))
        #expect(json["received"] as? Int == 6)
        #expect(json["stored"] as? Int == 2)
        #expect(json["duplicates"] as? Int == 1)
        #expect(json["rejected"] as? Int == 3)
        #expect(json["durability"] as? String == "committed")
        let made = [arena.records[0], arena.records[3]].map {
            String(decoding: arena.bytes[$0.id.range], as: UTF8.self)
        }
        #expect(json["ids"] as? [String] == made)
        let errors = try #require(json["errors"] as? [[String: Any]])
        #expect(errors.map { $0["index"] as? Int } == [1, 3, 5])
        #expect(
            errors.map { $0["code"] as? String } == ["missing_type", "refused_by_database", "malformed_json"]
        )
        #expect(errors[1]["id"] as? String == "e-2")
        #expect((errors[1]["detail"] as? String)?.contains("23514") == true)
        #expect(json["errors_truncated"] == nil && json["verdicts"] == nil && json["done"] == nil)
        #expect(!answer.isRefused)
    }

    @Test func `leaves out lists that are empty`() throws {
        let json = try Self.object(IngestAnswer(listsVerdicts: false).json(.none))

        #expect(Set(json.keys) == ["received", "stored", "duplicates", "rejected", "durability"])
        #expect(json["received"] as? Int == 0 && json["durability"] as? String == "none")
    }

    @Test func `is a refusal only when nothing of it was right`() {
        let bad = Decoded.events(["{}"])
        let good = Decoded.events(Decoded.dated([1]))
        var refused = IngestAnswer(listsVerdicts: false)
        #expect(!refused.isRefused)
        refused.add(bad, verdicts: [])
        #expect(refused.isRefused)

        var mixed = refused
        mixed.add(good, verdicts: [.duplicate])
        #expect(!mixed.isRefused)
        refused.add(good, verdicts: [.refused(sqlState: "22P02")])
        #expect(refused.isRefused && refused.received == 2)
    }

    @Test(arguments: [99, 100, 101, 250]) func `lists a hundred errors and says that there were more`(
        count: Int
    ) throws {
        // In two arenas, as a streamed body comes.
        var answer = IngestAnswer(listsVerdicts: false)
        let texts = [String](repeating: "{}", count: count)
        answer.add(Decoded.events(Array(texts[..<60])), verdicts: [])
        answer.add(Decoded.events(Array(texts[60...])), verdicts: [])

        let json = try Self.object(answer.json(.committed))
        #expect(json["rejected"] as? Int == count)
        #expect((json["errors"] as? [Any])?.count == min(100, count))
        #expect(json["errors_truncated"] as? Bool == (count > 100 ? true : nil))
    }

    @Test func `gives a verdict for each event, in order`() throws {
        let arena = Decoded.events(
            Decoded.dated([0]) + ["{}", #"{"id":"bad"}"#] + Decoded.fresh([1]) + Decoded.dated([2])
        )
        var answer = IngestAnswer(listsVerdicts: true)
        answer.add(arena, verdicts: [.stored, .stored, .duplicate])

        let json = try Self.object(answer.json(.committed))
        let verdicts = try #require(json["verdicts"] as? [[String: Any]])
        #expect(verdicts.map { $0["index"] as? Int } == [0, 1, 2, 3, 4])
        #expect(
            verdicts.map { $0["result"] as? String } == [
                "stored", "rejected", "rejected", "stored", "duplicate",
            ]
        )
        let ids = verdicts.map { $0["id"] as? String }
        #expect(ids[0] == "e-0" && ids[1] == nil && ids[2] == "bad" && ids[4] == "e-2")
        #expect(ids[3] == (json["ids"] as? [String])?.first)
    }

    @Test func `says how far it is in a line`() {
        var answer = IngestAnswer(listsVerdicts: false)
        answer.add(Decoded.events(Decoded.dated([1, 2]) + ["{}"]), verdicts: [.stored, .duplicate])

        let line = String(decoding: answer.progressLine(line: 5), as: UTF8.self)
        #expect(line == #"{"line":5,"stored":1,"duplicates":1,"rejected":1}"# + "\n")
    }
}
