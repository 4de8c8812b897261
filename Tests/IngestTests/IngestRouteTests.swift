import Events
import Foundation
import HTTP
import Postgres
import Reactor
import Server
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Ingest route` {
    private static func array(_ texts: [String]) -> String { "[" + texts.joined(separator: ",\n") + "]" }

    @Test func `stores one event and an array of them`() async throws {
        try await Service.with { service, _ in
            let one = try await service.post(Decoded.dated([1])[0])
            #expect(one.status == 200)
            #expect(one.fields["content-type"] == "application/json")
            #expect(try one.counts() == [1, 1, 0, 0])
            #expect(try one.json()["durability"] as? String == "committed")
            #expect(try one.json()["ids"] == nil)

            for type in ["application/json; charset=utf-8", "text/plain;charset=UTF-8", nil] {
                let many = try await service.post(Self.array(Decoded.dated(1..<4)), type: type)
                #expect(many.status == 200)
                #expect(try many.counts()[0] == 3)
            }
            #expect(try await service.installation.number("SELECT count(*) FROM events") == 3)
        }
    }

    @Test func `answers with the ids that it made, under which the events are found`() async throws {
        try await Service.with { service, _ in
            let answer = try await service.post(
                Self.array(Decoded.fresh([0]) + Decoded.dated([1]) + Decoded.fresh([2]))
            )

            let ids = try #require(try answer.json()["ids"] as? [String])
            let keys = try await service.installation.sql(
                "SELECT key FROM events WHERE id IS NULL ORDER BY data"
            )
            #expect(keys.map(\.[0]) == ids)
        }
    }

    @Test func `counts and lists what is wrong among what is right`() async throws {
        try await Service.with { service, _ in
            let texts = [
                #"{"id":"a"}"#, Decoded.dated([1])[0], "7", Decoded.dated([1])[0],
                #"{"type":"t","time":"yesterday"}"#, Decoded.undated([1])[0],
            ]
            let answer = try await service.post(Self.array(texts), query: "?verdicts=all")

            #expect(answer.status == 200)
            #expect(try answer.counts() == [6, 2, 1, 3])
            #expect(try answer.errorCodes() == ["missing_type", "not_an_object", "invalid_time"])
            let errors = try #require(try answer.json()["errors"] as? [[String: Any]])
            #expect(errors.map { $0["index"] as? Int } == [0, 2, 4])
            #expect(errors[0]["id"] as? String == "a" && errors[2]["pointer"] as? String == "/time")
            let verdicts = try #require(try answer.json()["verdicts"] as? [[String: Any]])
            #expect(
                verdicts.map { $0["result"] as? String }
                    == ["rejected", "stored", "rejected", "duplicate", "rejected", "stored"]
            )
            #expect(verdicts.map { $0["index"] as? Int } == [0, 1, 2, 3, 4, 5])
            let raw = try await service.installation.sql(
                "SELECT convert_from(raw, 'UTF8') FROM rejects ORDER BY n"
            )
            #expect(raw.map(\.[0]) == [texts[0], texts[2], texts[4]])
        }
    }

    @Test func `answers 422 when nothing was right, and lists a hundred errors`() async throws {
        try await Service.with { service, _ in
            let answer = try await service.post(Self.array([String](repeating: "{}", count: 101)))

            #expect(answer.status == 422 && answer.fields["content-type"] == "application/json")
            #expect(try answer.counts() == [101, 0, 0, 101])
            #expect(try answer.errorCodes().count == 100)
            #expect(try answer.json()["errors_truncated"] as? Bool == true)
            // A duplicate is right.
            _ = try await service.post(Decoded.dated([1])[0])
            let mixed = try await service.post(Self.array(["{}"] + Decoded.dated([1])))
            #expect(mixed.status == 200)
            #expect(try mixed.counts() == [2, 0, 1, 1])
        }
    }

    @Test func `refuses a body that is not JSON as a whole, with the offset`() async throws {
        try await Service.with { service, _ in
            let good = Decoded.dated([1])[0]
            let cut = try await service.post("[\(good),")
            #expect(cut.status == 400 && cut.fields["content-type"] == "application/problem+json")
            #expect(try cut.code() == "malformed_json")
            #expect(try cut.json()["offset"] as? Int == good.utf8.count + 2)

            for (body, code) in [
                ("", "empty_body"), (" \r\n", "empty_body"), ("7", "not_an_event"), ("\"x\"", "not_an_event"),
            ] {
                let answer = try await service.post(body)
                #expect(answer.status == 400, "\(body)")
                #expect(try answer.code() == code)
            }
            let none = try await service.post("[]")
            #expect(none.status == 200)
            #expect(try none.counts() == [0, 0, 0, 0])
            #expect(try await service.installation.totals() == Totals())
            #expect(try await service.installation.number("SELECT count(*) FROM rejects") == 0)
        }
    }

    @Test func `refuses what it does not read`() async throws {
        try await Service.with { service, _ in
            for type in [
                "application/xml", "application/cloudevents+avro", "multipart/form-data; boundary=x",
                "nonsense",
            ] {
                let answer = try await service.post("{}", type: type)
                #expect(answer.status == 415, "\(type)")
            }
            let coded = try await service.post("{}", fields: "Content-Encoding: br\r\n")
            #expect(coded.status == 415)
            #expect(coded.fields["accept-encoding"] != nil)
            let identity = try await service.post(
                Decoded.dated([1])[0],
                fields: "Content-Encoding: identity\r\n"
            )
            #expect(identity.status == 200)
            #expect(try await service.installation.number("SELECT count(*) FROM events") == 1)
        }
    }

    @Test func `refuses a body that is too large or has too many events`() async throws {
        try await Service.with(change: {
            $0.bodyBytesMax = 1_000
            $0.bodyEventsMax = 5
        }) { service, loop in
            let large = "[" + String(repeating: " ", count: 1_000) + "]"
            #expect(try await service.post(large).status == 413)
            let client = try await Client.connect(to: service.address, on: loop)
            defer { client.close() }
            try await client.write(Client.head(type: nil, length: nil))
            try await client.writeChunk(Array(large.utf8))
            #expect(try await client.answer().status == 413)

            let many = try await service.post(Self.array([String](repeating: "{}", count: 6)))
            #expect(many.status == 413)
            #expect(try many.code() == "too_many_events")
            #expect(try await service.post(Self.array([String](repeating: "{}", count: 5))).status == 422)
            #expect(
                try await service.installation.totals()
                    == Totals(rejected: 5, bytes: Self.array([String](repeating: "{}", count: 5)).utf8.count)
            )
        }
    }

    @Test func `tells and stores nothing on a dry run`() async throws {
        try await Service.with { service, _ in
            for type in ["application/json", "application/x-ndjson"] {
                let body =
                    type == "application/json"
                    ? Self.array(["{}"] + Decoded.fresh([1])) : "{}\n" + Decoded.fresh([1])[0]
                let answer = try await service.post(body, type: type, query: "?validate=only")
                #expect(answer.status == 200)
                #expect(try answer.counts() == [2, 1, 0, 1])
                #expect(try answer.json()["durability"] as? String == "none")
                #expect(try await service.post("{}", type: type, query: "?validate=only").status == 422)
            }
            #expect(try await service.installation.totals() == Totals())
            #expect(try await service.installation.number("SELECT count(*) FROM rejects") == 0)
        }
    }

    @Test func `refuses options that it does not know`() async throws {
        try await Service.with { service, _ in
            let answer = try await service.post(Decoded.dated([1])[0], query: "?ack=maybe")
            #expect(answer.status == 400)
            #expect(try answer.code() == "invalid_parameter")
            #expect(try await service.installation.number("SELECT count(*) FROM events") == 0)
        }
    }

    @Test func `asks to come again when the database is away`() async throws {
        let loop = try await TestCluster.shared().loop
        var configuration = IngestConfiguration(
            streams: [1],
            database: PostgresConfiguration(conninfo: "host=/nonexistent dbname=x user=x")
        )
        configuration.batch.flushTimeout = .milliseconds(300)
        let ingestor = Ingestor(configuration, hooks: HookLog().hooks, loop: loop, logger: TestCluster.logger)
        await ingestor.start()
        try await Service.serve(ingestor, configuration, on: loop) { address, loop in
            for type in ["application/json", "application/x-ndjson"] {
                let client = try await Client.connect(to: address, on: loop)
                defer { client.close() }
                let body = Array(Decoded.dated([1])[0].utf8)
                try await client.write(Client.head(type: type, length: body.count) + body)
                let answer = try await client.answer()
                #expect(answer.status == 503)
                #expect(answer.fields["retry-after"] != nil)
                #expect(try answer.code() == "database_unavailable")
            }
        }
        await ingestor.stop()
    }

    @Test func `sheds when too much waits, before it reads the body`() async throws {
        var limits = BatchLimits()
        limits.pendingBytesMax = 1_000
        try await Service.with(limits: limits) { service, loop in
            _ = try await service.post(Decoded.dated([0])[0])
            let waiting = try await service.installation.holdingStreams {
                var waiting: [Client] = []
                // The first is under way, the second fills the queue.
                for number in 1...2 {
                    let client = try await Client.connect(to: service.address, on: loop)
                    let body = Array(Self.array(Decoded.dated(number * 100..<number * 100 + 20)).utf8)
                    try await client.write(Client.head(type: nil, length: body.count) + body)
                    waiting.append(client)
                    if number == 1 { _ = try await service.installation.waitingWriter() }
                }
                // Answered at once, although its body never comes; until then the second one may be on its
                // way.
                while true {
                    let client = try await Client.connect(to: service.address, on: loop)
                    defer { client.close() }
                    try await client.write(
                        Client.head(type: nil, query: "?validate=only", length: 2) + Array("[]".utf8)
                    )
                    if try await client.answer().status == 503 { break }
                }
                let client = try await Client.connect(to: service.address, on: loop)
                defer { client.close() }
                try await client.write(Client.head(type: nil, length: 1_000_000))
                let shed = try await client.answer()
                #expect(shed.status == 503 && shed.fields["retry-after"] != nil)
                #expect(try shed.code() == "overloaded")
                return waiting
            }
            for client in waiting {
                #expect(try await client.answer().status == 200)
                client.close()
            }
            #expect(try await service.installation.number("SELECT count(*) FROM events") == 41)
        }
    }
}
