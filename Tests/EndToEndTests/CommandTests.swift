import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test(.enabled(if: EventFiles.areThere, "\(EventFiles.absence)"))
    func `sends a file with its own command, and again without storing anything`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let file = try await EventFile.read("usgs-earthquakes.ndjson.gz", on: installation.loop)
            let count = file.events.count

            let first = try await installation.run(["send", file.path, "--url", service.url])
            #expect(first.status == .exited(0), "\(first.complaint)")
            #expect(try await service.stats().totals.stored == file.distinct.count)

            let second = try await installation.run(["send", file.path, "--url", service.url])
            #expect(second.status == .exited(0), "\(second.complaint)")
            #expect(second.output.contains(" 0 stored"), "\(second.output)")
            try await service.waitForAnalytics()
            try await StoredFacts.read(installation).expect(file.countsByType, "sent by the command")
            let totals = try await service.stats().totals
            #expect(totals.received == 2 * count)
            #expect(totals.rejected == 0)
        }
    }

    @Test func `prints its statistics once, as JSON, and again and again`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            try await service.connect { connection in
                let body = Array(#"[{"type":"a"},{"type":"b"},{"x":1}]"#.utf8)
                let answer = try await connection.send(
                    "POST",
                    "/v1/events",
                    fields: RunningService.json,
                    body: body
                )
                #expect(answer.status == 200)
            }
            let once = try await installation.run(["stats", "--url", service.url])
            #expect(once.status == .exited(0), "\(once.complaint)")
            #expect(
                once.output.contains("received 3   stored 2   duplicates 0   rejected 1"),
                "\(once.output)"
            )
            #expect(once.output.contains("database   up (external, "), "\(once.output)")
            let json = try await installation.run(["stats", "--json", "--url", service.url])
            #expect(json.output.contains(#""received":3,"#) && json.output.hasSuffix("}\n"), "\(json.output)")

            let watched = try await installation.run(
                ["top", "--count", "3", "--interval", "0.1", "--url", service.url]
            )
            #expect(watched.status == .exited(0), "\(watched.complaint)")
            let lines = watched.output.split(separator: "\n")
            #expect(
                lines.count == 3 && lines.allSatisfy { $0.contains("  received 3  stored 2  ") },
                "\(lines)"
            )
            #expect(!watched.output.contains("\u{1B}"))

            await service.program.kill()
            for command in ["stats", "top"] {
                let gone = try await installation.run([command, "--url", service.url])
                #expect(gone.status == .exited(1) && gone.output.isEmpty)
                #expect(
                    gone.complaint.hasPrefix("millrace: \(command): \(service.url): "),
                    "\(gone.complaint)"
                )
            }
        }
    }

    @Test func `says whether it is alive, which schema there is, and who holds the lock`() async throws {
        try await Installation.with { installation in
            let conninfo = try #require(installation.conninfo)
            let status = ["migrate", "--status", "--database", conninfo]
            let empty = try await installation.run(status)
            #expect(empty.status == .exited(0), "\(empty.complaint)")
            #expect(empty.output.contains("0001_events  pending"), "\(empty.output)")

            let service = try await installation.serve()
            let health = try await installation.run(["health", service.url])
            #expect(health.status == .exited(0), "\(health.complaint)")
            let migrated = try await installation.run(status)
            #expect(migrated.status == .exited(0))
            #expect(!migrated.output.contains("pending"))
            #expect(migrated.output.contains("0002_jobs  2"), "\(migrated.output)")

            let second = try await installation.run(
                ["serve", "--listen", "127.0.0.1:0", "--data", installation.data],
                environment: ["DATABASE_URL": conninfo]
            )
            #expect(second.status == .exited(1))
            #expect(second.output.isEmpty)
            #expect(second.complaint.contains(installation.data + "/lock"), "\(second.complaint)")
            #expect(try await service.get("/healthz").status == 200)

            await service.program.kill()
            let gone = try await installation.run(["health", service.url])
            #expect(gone.status == .exited(1))
        }
    }
}
