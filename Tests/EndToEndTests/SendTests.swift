import Glibc
import Reactor
import TestSupport
import Testing

@testable import millrace

/// Events in a plain and a compressed file, and the command that sends them.
private struct SentFiles: Sendable {
    let events: MadeEvents
    let plain: String
    let compressed: String
    let state: String
    let arguments: [String]

    init(_ count: Int, prefix: String, seed: UInt64, to service: RunningService) throws {
        events = MadeEvents(count, prefix: prefix, seed: seed)
        let folder = TestPaths.makeTemporaryDirectory()
        (plain, compressed, state) = ("\(folder)/a.ndjson", "\(folder)/b.ndjson.gz", "\(folder)/state")
        try Self.write(events.events.prefix(count / 2).flatMap(\.line), to: plain)
        try Self.write(events.events.dropFirst(count / 2).flatMap(\.line), to: folder + "/b.ndjson")
        #expect(system("gzip '\(folder)/b.ndjson'") == 0)
        arguments = ["send", plain, compressed, "--state", state, "--url", service.url, "--chunk", "50"]
    }

    private static func write(_ bytes: [UInt8], to path: String) throws {
        let file = try #require(fopen(path, "w"))
        defer { fclose(file) }
        #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    }

    /// The ids of the lines that the state says are acknowledged.
    func acknowledged() throws -> Set<String> {
        var reader = try FileReader(path: state)
        let state = try SendState(try reader.readAll(bytesMax: 1 << 20))
        let half = events.events.count / 2
        let (first, second) = (state[plain]?.lines ?? 0, state[compressed]?.lines ?? 0)
        return Set((events.events[..<first] + events.events[half..<half + second]).map(\.id))
    }
}

extension `End to end` {
    @Test func `a killed send goes on behind the last acknowledged line, and stores every event once`()
        async throws
    {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let files = try SentFiles(12_000, prefix: "resumed", seed: 11, to: service)
            for visible in [1_500, 4_000, 7_500, 9_000] {
                let program = try await installation.start(files.arguments)
                try await until("\(visible) events are visible", on: installation.loop) {
                    try await installation.number("SELECT count(*) FROM events") >= visible
                }
                await program.signal(SIGKILL)
                #expect(await program.exit() == .signaled(SIGKILL))
                let acknowledged = try files.acknowledged()
                let stored = try await installation.ids(like: "%")
                #expect(acknowledged.isSubset(of: stored))
                // All but what was under way, and what was written meanwhile.
                #expect(acknowledged.count > visible - 1_500, "\(acknowledged.count)")
            }

            let before = try files.acknowledged().count
            let last = try await installation.run(files.arguments)

            #expect(last.status == .exited(0), "\(last.complaint)")
            let rest = SendTotals.grouped(12_000 - before)
            #expect(last.output.hasPrefix("\(rest) events: "), "\(last.output)")
            #expect(last.output.contains("; \(SendTotals.grouped(before)) lines were acknowledged before"))
            #expect(try await installation.ids(like: "%").count == 12_000)
            let nothing = try await installation.run(files.arguments)
            #expect(nothing.status == .exited(0))
            #expect(nothing.output.hasPrefix("0 events: "), "\(nothing.output)")
            try await service.waitForAnalytics()
            try await StoredFacts.read(installation).expect(files.events.countsByType, "sent in five runs")
        }
    }

    @Test(arguments: zip([SIGINT, SIGTERM], [130, 143] as [Int32]))
    func
        `a send that is told to stop says what it did, and leaves nothing to send twice`(
            signal: CInt,
            code: Int32
        ) async throws
    {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let files = try SentFiles(6_000, prefix: "stopped", seed: 12, to: service)
            let program = try await installation.start(files.arguments)
            try await until("1,000 events are visible", on: installation.loop) {
                try await installation.number("SELECT count(*) FROM events") >= 1_000
            }
            await program.signal(signal)
            let output = String(decoding: try await program.rest(), as: UTF8.self)
            #expect(await program.exit() == .exited(code), "\(program.log())")
            let stored = try await installation.number("SELECT count(*) FROM events")
            let count = SendTotals.grouped(stored)
            #expect(
                output.hasPrefix("\(count) events: \(count) stored, 0 duplicates, 0 rejected ("),
                "\(output)"
            )
            #expect(stored < 6_000)
            #expect(try files.acknowledged().count == stored)

            let rest = try await installation.run(files.arguments)
            #expect(rest.status == .exited(0), "\(rest.complaint)")
            #expect(rest.output.contains(" \(SendTotals.grouped(6_000 - stored)) stored, 0 duplicates"))
            #expect(try await installation.ids(like: "%").count == 6_000)
        }
    }

    @Test func `a send refuses what it could not go on with, and sends what it can of what it is given`()
        async throws
    {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let files = try SentFiles(20, prefix: "given", seed: 13, to: service)
            let url = ["--url", service.url]
            let state = ["--state", files.state]

            for input in [["-"], ["/dev/null"], [files.plain, files.plain]] {
                let refused = try await installation.run(["send"] + input + url + state)
                #expect(refused.status == .exited(2), "\(input): \(refused.output)")
                #expect(refused.complaint.contains("send: --state: "), "\(refused.complaint)")
            }
            let missing = try await installation.run(["send", "/nonexistent", files.plain] + url + state)
            #expect(missing.status == .exited(1))
            #expect(missing.complaint == "/nonexistent: open: No such file or directory\n")
            #expect(missing.output.hasPrefix("10 events: 10 stored"), "\(missing.output)")
            #expect(missing.output.contains("; not read to the end: 1 of the files"))

            let other = try await installation.run(
                ["send", files.plain, "--url", "http://127.0.0.1:1"] + state
            )
            #expect(other.status == .exited(2))
            #expect(other.complaint.contains("is about \(service.url), which is not http://127.0.0.1:1"))
            #expect(system("truncate -s -1 '\(files.state)'") == 0)
            let torn = try await installation.run(files.arguments)
            #expect(torn.status == .exited(1))
            #expect(torn.complaint.contains("it is damaged"), "\(torn.complaint)")
            #expect(try await installation.number("SELECT count(*) FROM events") == 10)
        }
    }

    @Test func `a send shows in one line of a terminal, however narrow, how far it is`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let files = try SentFiles(3_000, prefix: "shown", seed: 14, to: service)
            let command = ([MillraceBinary.path] + files.arguments).joined(separator: " ")
            let program = RunningProgram(on: installation.loop)
            installation.programs.add(program)
            try await program.start(
                ["/usr/bin/script", "-qec", "stty cols 40; exec \(command)", "/dev/null"],
                environment: ["TERM": "xterm"]
            )
            let output = String(decoding: try await program.rest(), as: UTF8.self)
            #expect(await program.exit() == .exited(0))
            let frames = output.replacing("\r\n", with: "\n").split(separator: "\r").filter {
                $0.contains(" %")
            }
            #expect(!frames.isEmpty, "\(output)")
            #expect(frames.allSatisfy { $0.count < 40 && !$0.contains("\n") }, "\(frames)")
            #expect(output.contains("3,000 events: 3,000 stored"), "\(output)")
        }
    }
}
