import Events
import Foundation
import Reactor
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Reject routes` {
    private static func with(
        _ body: @escaping @Sendable (Service, RejectDesk) async throws -> Void
    ) async throws {
        try await RejectDesk.with { desk in
            let loop = desk.installation.database.loop
            try await Service.serve(
                desk.node.ingestor,
                desk.node.configuration,
                rejects: desk.routes,
                on: loop
            ) {
                address,
                _ in
                try await body(Service(installation: desk.installation, address: address), desk)
            }
        }
    }

    @Test func `replay and tell what became of the rejects`() async throws {
        try await Self.with { service, desk in
            let now = WallClock.microseconds()
            try await desk.refuse(Decoded.dated(0..<2) + ["{}"], receivedAt: now)
            let stay = try #require(try await desk.numbers().last)
            let from = String(decoding: Timestamp.format(now), as: UTF8.self)

            let dry = try await service.send(
                "POST",
                "/v1/rejects/replay",
                #"{"from":"\#(from)","dry_run":true}"#
            )
            let answer = try await service.send("POST", "/v1/rejects/replay", #"{"from":"\#(from)"}"#)

            let text =
                #"{"matched":3,"stored":2,"duplicates":0,"rejected":1,"skipped":0,"more":false,"#
                + #""errors":[{"n":\#(stay),"code":"missing_type","pointer":"/type","detail":"#
            for reply in [dry, answer] {
                #expect(reply.status == 200)
                let body = String(decoding: reply.body, as: UTF8.self)
                #expect(body.hasPrefix(text), "\(body)")
            }
            #expect(try await desk.numbers() == [stay])
            let audit = try await desk.installation.sql("SELECT actor, action, request_id FROM audit")
            #expect(audit == [["local", "reject.replay", "r-1"]])
        }
    }

    @Test func `delete one by its number, and others by what is said of them`() async throws {
        try await Self.with { service, desk in
            try await desk.refuse(Decoded.dated(0..<4) + ["{}", "[]", "no json"])
            let totals = try await desk.installation.totals()
            let numbers = try await desk.numbers()

            let one = try await service.send("DELETE", "/v1/rejects/\(numbers[0])")
            #expect(one.status == 204 && one.body.isEmpty)
            for path in ["\(numbers[0])", "x", "99999999999999999999"] {
                #expect(try await service.send("DELETE", "/v1/rejects/\(path)").status == 404, "\(path)")
            }
            let some = try await service.send("DELETE", "/v1/rejects?code=type_not_allowed")
            #expect(String(decoding: some.body, as: UTF8.self) == #"{"deleted":3,"more":false}"#)
            let none = try await service.send("DELETE", "/v1/rejects?to=2020-01-01T00:00:00Z&code=")
            #expect(try none.json()["deleted"] as? Int == 0)
            #expect(try await desk.numbers() == Array(numbers[4...]))
            let rest = try await service.send("DELETE", "/v1/rejects?from=2020-01-01T00:00:00+01:00")
            #expect(try rest.json()["deleted"] as? Int == 3)

            let audit = try await desk.installation.sql(
                "SELECT actor, action, target, detail - 'from', request_id FROM audit ORDER BY n"
            )
            #expect(
                audit == [
                    [
                        "local", "reject.delete", "rejects", #"{"ids": [\#(numbers[0])], "deleted": 1}"#,
                        "r-1",
                    ],
                    [
                        "local", "reject.delete", "rejects", #"{"code": "type_not_allowed", "deleted": 3}"#,
                        "r-1",
                    ],
                    ["local", "reject.delete", "rejects", #"{"deleted": 3}"#, "r-1"],
                ]
            )
            // They were refused, whatever has become of them since.
            #expect(try await desk.installation.totals() == totals)
        }
    }

    @Test func `delete in parts, and all of them`() async throws {
        try await Self.with { service, desk in
            let count = RejectStore.deletionMax + 5
            try await desk.installation.sql(
                """
                INSERT INTO rejects (received_at, code, pointer, detail, raw, request_id)
                  SELECT now(), 'missing_type', '', '', '', 'r' FROM generate_series(1, \(count))
                """
            )
            let answer = try await service.send("DELETE", "/v1/rejects?code=missing_type")
            #expect(try answer.json()["deleted"] as? Int == count)
            #expect(try await desk.installation.number("SELECT count(*) FROM rejects") == 0)
            #expect(try await desk.installation.number("SELECT count(*) FROM audit") == 2)
        }
    }

    @Test func `refuse what does not say which rejects, or not so that it can be read`() async throws {
        try await Self.with { service, desk in
            try await desk.refuse(Decoded.dated(0..<2))
            let before = try await desk.installation.everything()
            let many = (0...RejectFilter.idsMax).map { "\($0)" }.joined(separator: ",")
            let bodies = [
                ("", "missing_filter"), ("{}", "missing_filter"), (#"{"dry_run":true}"#, "missing_filter"),
                (#"{"code":null,"after":1}"#, "missing_filter"), ("[1]", "malformed_json"),
                (#"{"ids":7}"#, "invalid_parameter"), (#"{"ids":["1"]}"#, "invalid_parameter"),
                (#"{"ids":[1.5]}"#, "invalid_parameter"), (#"{"ids":[\#(many)]}"#, "invalid_parameter"),
                (#"{"code":"nonsense"}"#, "invalid_parameter"), (#"{"code":1}"#, "invalid_parameter"),
                (#"{"from":"yesterday"}"#, "invalid_parameter"),
                (#"{"cod":"missing_type"}"#, "invalid_parameter"),
                (#"{"ids":[1],"dry_run":1}"#, "invalid_parameter"),
                (#"{"ids":[1],"after":"x"}"#, "invalid_parameter"),
                (#"{"from":"2026-01-02T00:00:00Z","to":"2026-01-01T00:00:00Z"}"#, "invalid_parameter"),
            ]
            for (body, code) in bodies {
                let answer = try await service.send("POST", "/v1/rejects/replay", body)
                #expect(answer.status == 400, "\(body.prefix(40))")
                #expect(try answer.code() == code, "\(body.prefix(40))")
            }
            for (query, code) in [
                ("", "missing_filter"), ("?code=", "missing_filter"), ("?ids=1", "invalid_parameter"),
                ("?from=x", "invalid_parameter"), ("?code=nonsense", "invalid_parameter"),
            ] {
                let answer = try await service.send("DELETE", "/v1/rejects\(query)")
                #expect(answer.status == 400, "\(query)")
                #expect(try answer.code() == code, "\(query)")
            }
            #expect(try await service.send("DELETE", "/v1/rejects/replay").status == 405)
            #expect(try await desk.installation.everything() == before)
        }
    }

    @Test func `find in each reject how its request was decoded`() async throws {
        try await Self.with { service, desk in
            let strict = #"{"id":"1","type":"t","source":"/s"}"#
            _ = try await service.post(strict, type: "application/cloudevents+json")
            _ = try await service.post("[\(strict)]", type: "application/cloudevents-batch+json")
            _ = try await service.post(
                "{}",
                fields: "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\n"
            )
            _ = try await service.post("{}\n", type: "application/x-ndjson")
            _ = try await service.post("[{}]")
            #expect(
                try await desk.installation.sql(
                    "SELECT code, strict, default_source, key_id FROM rejects ORDER BY n"
                )
                    == [
                        ["missing_specversion", "t", nil, nil], ["missing_specversion", "t", nil, nil],
                        ["missing_type", "t", nil, nil], ["missing_type", "f", nil, nil],
                        ["missing_type", "f", nil, nil],
                    ]
            )
            let answer = try await service.send(
                "POST",
                "/v1/rejects/replay",
                #"{"code":"missing_specversion"}"#
            )
            #expect(try answer.json()["rejected"] as? Int == 2)
        }
    }
}
