import Foundation
import Glibc
import Reactor
import TestSupport
import Testing

/// The ways in which clients show a key, rightly and wrongly.
private struct KeyPlace: Sendable {
    let target: String
    var fields: [(String, String)] = []

    static func all(_ key: String) -> [KeyPlace] {
        let fields = [
            ("Authorization", "Bearer \(key)"), ("authorization", "bearer   \(key)"),
            ("Authorization", "Basic \(base64(key + ":"))"), ("Authorization", "Basic \(base64(":" + key))"),
            ("Authorization", "Basic \(key)"), ("Authorization", "Digest \(key)"), ("Authorization", key),
            ("Authorization", "Bearer \(key) \(key)"), ("Authorization", "Bearer \u{e9}\(key)"),
            ("X-API-Key", key), ("X-Api-Key", "Bearer \(key)"), ("X-API-Key", key + key), ("Api-Key", key),
            ("Cookie", "key=\(key)"), ("Referer", "http://shop.example/?key=\(key)"),
            ("traceparent", key), ("Content-Type", key), ("Content-Encoding", key), ("Accept", key),
            ("Expect", key), ("Transfer-Encoding", key), ("Broken Field", key),
        ]
        let queries = [
            "key=\(key)", "a=b&key=\(key)", "key=\(key)&key=\(key)", "KEY=\(key)", "k%65y=\(key)",
            "key=%zz\(key)", "%zz=\(key)", "api_key=\(key)", "apikey=\(key)", "access_token=\(key)",
            "auth=\(key)", "limit=1;key=\(key)",
        ]
        let targets = ["/v1/stats", "/v1/events", "/v1/keys", "/healthz", "/none"]
        return targets.flatMap { target in
            fields.map { KeyPlace(target: target, fields: [$0]) }
                + queries.map { KeyPlace(target: "\(target)?\($0)") }
        }
    }

    static func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }
}

/// What everybody on a machine can read of a process, and what its owner can.
private struct ProcessFacts {
    let pid: Int32
    let parent: Int32
    let commandLine: String
    let environment: String

    static func all() throws -> [ProcessFacts] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { name in
            guard let pid = Int32(name), let stat = read(pid, "stat"),
                let parent = stat.split(separator: ")").last?.split(separator: " ").dropFirst().first
            else { return nil }
            return ProcessFacts(
                pid: pid,
                parent: Int32(parent) ?? 0,
                commandLine: read(pid, "cmdline") ?? "",
                environment: read(pid, "environ") ?? ""
            )
        }
    }

    /// `nil` for a process that has ended meanwhile, or is another user's.
    private static func read(_ pid: Int32, _ file: String) -> String? {
        FileManager.default.contents(atPath: "/proc/\(pid)/\(file)").map {
            String(decoding: $0, as: UTF8.self)
        }
    }
}

extension `End to end` {
    @Test(arguments: ["json", "text"])
    func `tells no key to the log, the metrics, an answer or the list of processes`(
        format: String
    ) async throws {
        try await Installation.with { installation in
            let desk = try await KeyDesk(installation: installation, url: installation.serve().url)
            let root = try await desk.create(
                ["--name", "root", "--scope", "admin", "--scope", "read", "--scope", "write"]
            )
            let writer = try await desk.create(["--name", "writer", "--scope", "write"], key: root)
            for program in installation.programs.all { await program.kill() }

            // As in the shell of somebody who has just exported a key.
            let service = try await installation.serve(
                ["--log-level", "trace", "--access-log", "1", "--log", format],
                environment: ["MILLRACE_KEY": root]
            )
            let wrong = "hunter2hunter2hunter2hunter2"
            let likely = "mr_" + String(repeating: "Zq9", count: 14) + "Z"
            let secrets = Self.spellings(of: [root, writer, wrong, likely])
            var answers = ""
            for place in [root, writer, wrong, likely].flatMap(KeyPlace.all) {
                answers += try await Self.ask(place, service)
            }
            let metrics = try await service.get("/metrics", fields: [("X-API-Key", root)])
            #expect(metrics.status == 200)
            let pid = try #require(await service.program.pid)
            let processes = try ProcessFacts.all()
            // Drained: every line has been written.
            await service.program.signal(SIGTERM)
            #expect(await service.program.exit() == .exited(0))

            let log = service.program.log(bytesMax: 1 << 26)
            #expect(log.contains("/v1/stats?key=***") && log.contains("/none?access_token=***"))
            for secret in secrets {
                #expect(!log.contains(secret), "the log: \(Self.surroundings(of: secret, in: log))")
                #expect(!answers.contains(secret), "\(Self.surroundings(of: secret, in: answers))")
                #expect(!metrics.text.contains(secret))
                for process in processes {
                    #expect(!process.commandLine.contains(secret), "\(process.pid) \(process.commandLine)")
                }
            }
            try Self.expectSecrecy(of: secrets, from: pid, processes)
        }
    }

    /// A key as it is, without its prefix, and as Basic has it.
    private static func spellings(of keys: [String]) -> [String] {
        keys.flatMap { [$0, String($0.dropFirst(3)), KeyPlace.base64($0 + ":"), KeyPlace.base64(":" + $0)] }
    }

    /// Asks on a connection of its own and returns the answer, fields and all.
    private static func ask(_ place: KeyPlace, _ service: RunningService) async throws -> String {
        try await service.connect { connection in
            var text = ""
            for (method, body) in [("GET", nil), ("POST", Array(#"{"type":"t"}"#.utf8))] {
                do throws(WireError) {
                    let answer = try await connection.send(
                        method,
                        place.target,
                        fields: place.fields,
                        body: body
                    )
                    text += "\(answer.status) \(answer.fields) \(answer.text)\n"
                } catch {
                    // A request that is none has ended the connection.
                    text += "\(error)\n"
                }
            }
            return text
        }
    }

    /// No child of the service has what the service itself was told.
    private static func expectSecrecy(
        of secrets: [String],
        from pid: Int32,
        _ processes: [ProcessFacts]
    ) throws {
        let own = try #require(processes.first { $0.pid == pid })
        #expect(secrets.contains { own.environment.contains($0) }, "else the look at environments is blind")
        let children = processes.filter { $0.parent == pid }
        // Two for the rollups, one for analyses.
        #expect(children.count { $0.commandLine.contains("worker") } == 3)
        for child in children {
            #expect(!child.environment.isEmpty)
            for secret in secrets {
                #expect(!child.environment.contains(secret), "\(child.commandLine): \(child.environment)")
            }
        }
    }

    /// Where it stands, for a failure's text.
    private static func surroundings(of secret: String, in text: String) -> String {
        text.split(separator: "\n").first { $0.contains(secret) }.map { String($0.prefix(600)) } ?? ""
    }
}
