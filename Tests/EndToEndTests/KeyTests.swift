import Glibc
import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test func `lets in who has a key, on every node, until it is revoked`() async throws {
        try await Installation.with { installation in
            let conninfo = try #require(installation.conninfo)
            let service = try await installation.serve()
            let other = try await installation.serveAnother()
            let office = KeyDesk(installation: installation, url: service.url)

            let root = try await office.create(["--name", "root", "--scope", "admin", "--scope", "read"])
            #expect(try await service.get("/v1/stats").status == 401)
            try await until("the other node knows of the key", on: installation.loop) {
                try await other.get("/v1/stats").status == 401
            }
            #expect(try await other.get("/v1/stats", fields: [("X-API-Key", root)]).status == 200)
            #expect(try await service.get("/healthz").status == 200)

            let refused = try await installation.run(
                ["keys", "create", "--url", service.url, "--name", "x", "--scope", "write"]
            )
            #expect(refused.status == .exited(1) && refused.output.isEmpty)
            let shop = try await office.create(
                ["--name", "shop", "--scope", "write", "--source", "/shop", "--type", "order.placed"],
                key: root
            )
            try await Self.expectRules(of: shop, service, installation)

            let list = try await installation.run(["keys", "list", "--database", conninfo])
            #expect(list.status == .exited(0), "\(list.complaint)")
            #expect(list.output.split(separator: "\n").count == 2 && list.output.contains("  shop  write  "))
            let revoked = try await installation.run(["keys", "revoke", "2", "--database", conninfo])
            #expect(revoked.status == .exited(0), "\(revoked.complaint)")
            for node in [service, other] {
                try await until("the key is refused", on: installation.loop) {
                    try await Self.post(#"{"type":"order.placed"}"#, shop, to: node).status == 401
                }
            }
            let metrics = try await service.get("/metrics", fields: [("X-API-Key", root)]).text
            for text in [service.program.log(bytesMax: 1 << 24), metrics, list.output, revoked.complaint] {
                #expect(!text.contains(root) && !text.contains(shop))
            }
            #expect(metrics.contains(#"millrace_http_access_refused_total{status="401"}"#))
        }
    }

    /// What the key's source and types do to events.
    private static func expectRules(
        of shop: String,
        _ service: RunningService,
        _ installation: Installation
    ) async throws {
        let body = #"[{"id":"1","type":"order.placed"},{"id":"2","type":"order.lost"}]"#
        let answer = try await post(body, shop, to: service)
        #expect(answer.status == 200)
        #expect(answer.text.contains(#""code":"type_not_allowed""#))
        let counts = try answer.decode(IngestAnswer.self)
        #expect(counts.stored == 1 && counts.rejected == 1)
        #expect(try await installation.query("SELECT id, source FROM events") == [["1", "/shop"]])
        #expect(try await service.get("/v1/stats", fields: [("X-API-Key", shop)]).status == 403)

        let sent = try await installation.run(
            ["send", installation.data + "/none.ndjson", "--url", service.url],
            environment: ["MILLRACE_KEY": shop]
        )
        #expect(sent.status == .exited(1))
        let lines = Array("{\"id\":\"3\",\"type\":\"order.placed\"}\n".utf8)
        let streamed = try await service.connect { connection in
            try await connection.send(
                "POST",
                "/v1/events?key=\(shop)",
                fields: RunningService.ndjson,
                body: lines
            )
        }
        #expect(try streamed.decode(IngestAnswer.self).stored == 1)
    }

    @Test func `holds a key to its rate, in debt after a large batch`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let office = KeyDesk(installation: installation, url: service.url)
            let root = try await office.create(["--name", "root", "--scope", "admin"])
            let slow = try await office.create(
                ["--name", "slow", "--scope", "write", "--rate", "0.001", "--burst", "10"],
                key: root
            )
            let fast = try await office.create(["--name", "fast", "--scope", "write"], key: root)

            let events = (0..<30).map { #"{"id":"\#($0)","type":"t"}"# }.joined(separator: ",")
            let first = try await Self.post("[\(events)]", slow, to: service)
            #expect(first.status == 200)
            #expect(first.fields["ratelimit-limit"] == "10" && first.fields["ratelimit-remaining"] == "0")
            let second = try await Self.post(#"{"type":"t"}"#, slow, to: service)
            #expect(second.status == 429)
            #expect(second.fields["retry-after"].flatMap { Int($0) }.map { $0 > 20_000 } == true)
            #expect(try await Self.post(#"{"type":"t"}"#, fast, to: service).status == 200)
            #expect(try await installation.number("SELECT count(*) FROM events") == 31)
        }
    }

    private static func post(
        _ body: String,
        _ key: String,
        to service: RunningService
    ) async throws -> WireAnswer {
        try await service.connect { connection in
            try await connection.send(
                "POST",
                "/v1/events",
                fields: RunningService.json + [("Authorization", "Bearer \(key)")],
                body: Array(body.utf8)
            )
        }
    }
}
