import Foundation
import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test func `lists, shows, replays and deletes what was refused, for those who may`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let line = #"{"id":"1","type":"order.placed","source":"/shop","data":{"text":"naïve"}}"#
            let desk = try await RejectCommands.open(installation, service)
            _ = try await desk.send("[\(line),{\"id\":\"2\"}]", key: desk.shop)
            #expect(
                try await desk.totals() == Stats.Totals(received: 2, stored: 0, duplicates: 0, rejected: 2)
            )

            let list = try await desk.run(["list"])
            let rows = list.split(separator: "\n")
            #expect(rows.count == 2 && rows[0].contains("  missing_type  /type  2  "))
            #expect(rows[1].contains("  type_not_allowed  /type  1  "))
            #expect(
                try await desk.run(["list", "--code", "missing_type", "--from", "2026-01-01T00:00:00+01:00"])
                    == rows[0] + "\n"
            )
            let n = try #require(rows[1].split(separator: " ").first.map(String.init))
            #expect(try await desk.run(["show", n]) == line + "\n")

            let dry = try await desk.run(["replay", "--dry-run", "--from", "2026-01-01T00:00:00Z"])
            #expect(dry == "matched 2  stored 1  duplicates 0  rejected 1  skipped 0\n")
            #expect(try await desk.totals().rejected == 2)
            #expect(
                try await desk.run(["replay", n, "4711"])
                    == "matched 2  stored 1  duplicates 0  rejected 0  skipped 1\n"
            )
            #expect(
                try await desk.totals() == Stats.Totals(received: 2, stored: 1, duplicates: 0, rejected: 1)
            )
            #expect(try await installation.ids(like: "%") == ["1"])
            let receipt = try await service.get(
                "/v1/events/1?source=/shop",
                fields: [("X-API-Key", desk.root)]
            )
            #expect(receipt.text.contains(#""verdict":"stored""#))

            for arguments in [["replay", n], ["delete", n], ["delete", "--code", "missing_type"]] {
                let refused = try await desk.outcome(arguments, key: desk.shop)
                #expect(
                    refused.status == .exited(1) && refused.complaint.contains("scope"),
                    "\(refused.complaint)"
                )
            }
            #expect(
                try await desk.outcome(["replay"], key: desk.root).status == .exited(1),
                "nobody means all"
            )
            #expect(try await desk.run(["delete", "--code", "missing_type"]) == "deleted 1\n")
            #expect(try await desk.run(["list"]).isEmpty)
            let audit = try await installation.query(
                "SELECT actor, action FROM audit WHERE action LIKE 'reject.%' ORDER BY n"
            )
            #expect(audit == [["key:1", "reject.replay"], ["key:1", "reject.delete"]])
        }
    }

    @Test func `drops rejects that are too old when it starts`() async throws {
        try await Installation.with { installation in
            let first = try await installation.serve()
            _ = try await first.stream(Array("{\"id\":\"new\"}\n{\"type\":\"t\"}".utf8))
            await first.program.kill()
            try await installation.query(
                """
                CREATE TABLE rejects_20200102 PARTITION OF rejects
                  FOR VALUES FROM ('2020-01-02') TO ('2020-01-03')
                """
            )
            try await installation.query(
                """
                INSERT INTO rejects (received_at, id, code, pointer, detail, raw, request_id)
                  VALUES ('2020-01-02', 'old', 'missing_type', '', '', '{}', 'r')
                """
            )
            let second = try await installation.serve(["--rejects-max-age", "1000"])
            try await until("the old day is gone", on: installation.loop) {
                try await installation.number(
                    "SELECT count(*) FROM pg_class WHERE relname = 'rejects_20200102'"
                ) == 0
            }
            #expect(try await installation.query("SELECT id FROM rejects") == [["new"]])
            try await until("it is counted", on: installation.loop) {
                try await second.get("/metrics").text.contains("millrace_rejects_dropped_total 1\n")
            }
        }
    }
}

/// The commands about rejects, with the keys of a shop and of its administrator.
private struct RejectCommands: Sendable {
    let installation: Installation
    let service: RunningService
    let root: String
    let shop: String

    static func open(_ installation: Installation, _ service: RunningService) async throws -> RejectCommands {
        let keys = KeyDesk(installation: installation, url: service.url)
        let root = try await keys.create(["--name", "root", "--scope", "admin", "--scope", "read"])
        let shop = try await keys.create(
            ["--name", "shop", "--scope", "write", "--scope", "read", "--type", "order.lost"],
            key: root
        )
        return RejectCommands(installation: installation, service: service, root: root, shop: shop)
    }

    func outcome(_ arguments: [String], key: String) async throws -> Installation.Outcome {
        try await installation.run(
            ["rejects"] + arguments + ["--url", service.url],
            environment: ["MILLRACE_KEY": key]
        )
    }

    func run(_ arguments: [String]) async throws -> String {
        let outcome = try await outcome(arguments, key: root)
        #expect(outcome.status == .exited(0), "\(arguments): \(outcome.complaint)")
        return outcome.output
    }

    func send(_ body: String, key: String) async throws -> WireAnswer {
        try await service.connect { connection in
            try await connection.send(
                "POST",
                "/v1/events",
                fields: RunningService.json + [("X-API-Key", key)],
                body: Array(body.utf8)
            )
        }
    }

    /// Of the table: the statistics are a second old.
    func totals() async throws -> Stats.Totals {
        let row = try await installation.query(
            "SELECT sum(received), sum(stored), sum(duplicates), sum(rejected) FROM streams"
        )[0].map { $0.flatMap { Int($0) } ?? -1 }
        return Stats.Totals(received: row[0], stored: row[1], duplicates: row[2], rejected: row[3])
    }
}
