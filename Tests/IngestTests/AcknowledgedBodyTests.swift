import Events
import Foundation
import Postgres
import Reactor
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Streamed acknowledgements` {
    private static let ndjson = "application/x-ndjson"
    private static let accept = "Accept: application/x-ndjson\r\n"

    private static func lines(_ texts: [String]) -> [UInt8] {
        Array(texts.map { $0 + "\n" }.joined().utf8)
    }

    private static func begin(
        _ service: Service,
        on loop: EventLoop,
        query: String = "",
        fields: String = accept
    ) async throws -> Client {
        let client = try await Client.connect(to: service.address, on: loop)
        try await client.write(Client.head(type: ndjson, query: query, fields: fields, length: nil))
        #expect(try await client.streamedHead() == 200)
        return client
    }

    private static func counts(_ line: [String: Any]?) throws -> [Int?] {
        let line = try #require(line)
        return ["line", "stored", "duplicates", "rejected"].map { line[$0] as? Int }
    }

    /// The client sends nothing more and waits: what it has sent is committed and told of all the same.
    @Test func `come while the client is silent, before the body's end`() async throws {
        try await Service.with { service, loop in
            let client = try await Self.begin(service, on: loop)
            defer { client.close() }
            let texts = Decoded.dated(0..<3)
            try await client.writeChunk(Self.lines([texts[0], "", texts[1], "{broken", texts[0]]))
            #expect(try Self.counts(try await client.streamedLine()) == [5, 2, 1, 1])
            #expect(try await service.installation.number("SELECT count(*) FROM events") == 2)

            // The last line has no end.
            try await client.writeChunk(Array(texts[2].utf8))
            try await client.writeChunk([])
            #expect(try Self.counts(try await client.streamedLine()) == [6, 3, 1, 1])
            let last = try #require(try await client.streamedLine())
            #expect(last["done"] as? Bool == true && last["received"] as? Int == 5)
            #expect((last["errors"] as? [[String: Any]])?.map { $0["index"] as? Int } == [2])
            #expect(try await client.streamedLine() == nil)

            // The connection serves on.
            try await client.write(Client.head(type: Self.ndjson, length: 0))
            #expect(try await client.answer().counts() == [0, 0, 0, 0])
        }
    }

    @Test func `come for each chunk of a long body, in order, and add up`() async throws {
        try await Service.with { service, loop in
            let client = try await Self.begin(service, on: loop)
            defer { client.close() }
            for start in stride(from: 0, to: 12_000, by: 1_000) {
                try await client.writeChunk(Self.lines(Decoded.dated(start..<start + 1_000)))
            }
            try await client.writeChunk([])
            var line = 0
            while let told = try await client.streamedLine() {
                if told["done"] != nil {
                    #expect(told["done"] as? Bool == true && told["stored"] as? Int == 12_000)
                    continue
                }
                let now = try #require(told["line"] as? Int)
                #expect(now > line && told["stored"] as? Int == now)
                line = now
            }
            #expect(line == 12_000)
        }
    }

    /// What a cut stream has been told of is there; sent again from that line on, it is whole.
    @Test func `let a cut stream go on behind the last line they name`() async throws {
        try await Service.with { service, loop in
            let texts = Decoded.dated(0..<8_000)
            let first = try await Self.begin(service, on: loop)
            try await first.writeChunk(Self.lines(Array(texts[..<6_000])))
            let line = try #require(try Self.counts(try await first.streamedLine())[0])
            #expect(line >= 5_000)
            first.close()

            let second = try await Self.begin(service, on: loop)
            defer { second.close() }
            try await second.writeChunk(Self.lines(Array(texts[line...])))
            try await second.writeChunk([])
            while try await second.streamedLine() != nil {}
            #expect(try await service.installation.number("SELECT count(*) FROM events") == 8_000)
        }
    }

    @Test func `end with the problem and the connection when the body turns bad`() async throws {
        try await Service.with { service, loop in
            let client = try await Self.begin(service, on: loop)
            defer { client.close() }
            try await client.writeChunk(Self.lines(Decoded.dated(0..<2)))
            #expect(try Self.counts(try await client.streamedLine()) == [2, 2, 0, 0])
            try await client.write(Array("zz\r\n".utf8))
            let last = try #require(try await client.streamedLine())
            #expect(last["done"] as? Bool == false)
            #expect((last["error"] as? [String: Any])?["status"] as? Int == 400)
            #expect(try await client.streamedLine() == nil)
            #expect(try await client.isEnded())
        }
    }

    /// A client that waits to be asked for the body must hear that before the answer begins.
    @Test func `begin after the client has been asked to go on`() async throws {
        try await Service.with { service, loop in
            let client = try await Client.connect(to: service.address, on: loop)
            defer { client.close() }
            let fields = Self.accept + "Expect: 100-continue\r\n"
            try await client.write(Client.head(type: Self.ndjson, fields: fields, length: nil))
            #expect(try await client.interimStatus() == 100)
            #expect(try await client.streamedHead() == 200)
            try await client.writeChunk(Self.lines(Decoded.dated([1])))
            try await client.writeChunk([])
            #expect(try Self.counts(try await client.streamedLine()) == [1, 1, 0, 0])
            #expect(try await client.streamedLine()?["done"] as? Bool == true)
        }
    }

    @Test func `are not for clients that take JSON as well`() async throws {
        try await Service.with { service, _ in
            for accept in ["*/*", "application/json", "application/json, application/x-ndjson;q=0.5"] {
                let answer = try await service.post(
                    Decoded.dated([1])[0],
                    type: Self.ndjson,
                    fields: "Accept: \(accept)\r\n"
                )
                #expect(answer.fields["content-type"] == "application/json", "\(accept)")
            }
        }
    }

    @Test func `tell of a dry run, which stores nothing`() async throws {
        try await Service.with { service, loop in
            let client = try await Self.begin(service, on: loop, query: "?validate=only")
            defer { client.close() }
            try await client.writeChunk(Self.lines(Decoded.dated(0..<2) + ["7"]))
            #expect(try Self.counts(try await client.streamedLine()) == [3, 2, 0, 1])
            try await client.writeChunk([])
            #expect(try await client.streamedLine()?["durability"] as? String == "none")
            #expect(try await service.installation.totals() == Totals())
        }
    }

    /// Told of a later chunk, the client would go on behind it and leave the failed one out.
    @Test func `name no line behind a chunk that was not stored`() async throws {
        try await Service.with { service, loop in
            let client = try await Self.begin(service, on: loop)
            defer { client.close() }
            try await client.writeChunk(Self.lines(Decoded.dated(0..<2)))
            #expect(try Self.counts(try await client.streamedLine()) == [2, 2, 0, 0])
            // The chunk with this event fails as a whole; the one behind it is stored.
            try await service.installation.sql(
                """
                CREATE FUNCTION explode() RETURNS trigger LANGUAGE plpgsql AS
                  'BEGIN RAISE EXCEPTION ''no'' USING ERRCODE = ''disk_full''; END';
                """
            )
            try await service.installation.sql(
                """
                CREATE TRIGGER explode BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.id = 'e-2500')
                  EXECUTE FUNCTION explode()
                """
            )
            try await client.writeChunk(Self.lines(Decoded.dated(2..<12_002)))
            try await client.writeChunk([])
            let last = try #require(try await client.streamedLine())
            #expect(last["done"] as? Bool == false, "\(last)")
            #expect((last["error"] as? [String: Any])?["status"] as? Int == 503)
            #expect(try await client.streamedLine() == nil)
            let stored = try await service.installation.number("SELECT count(*) FROM events")
            #expect(stored == 5_002, "the second chunk was not under way")
        }
    }
}
