import Glibc
import Reactor
import TestSupport
import Testing

/// The collection of raw HTTP/1.1 requests beside the project, and the tool that sends them.
private enum RequestFiles {
    static let folder = EventFiles.shared + "/corpora/http"
    static let tool = EventFiles.shared + "/tools/run_http_cases.py"

    static let areThere = access(tool, R_OK) == 0 && access(folder, R_OK) == 0
    static let absence = "the collection of HTTP requests is not beside the project: \(folder)"
}

extension `End to end` {
    @Test(
        .enabled(if: RequestFiles.areThere, "\(RequestFiles.absence)"),
        arguments: [
            ("http1-cases.jsonl", 228, []), ("http1-cases.jsonl", 228, ["--dribble", "1"]),
            ("content-encoding-cases.jsonl", 27, []),
        ]
    )
    func `answers every request of the collection as RFC 9110 and 9112 want it`(
        file: String,
        count: Int,
        options: [String]
    ) async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let tool = RunningProgram(on: installation.loop)
            installation.programs.add(tool)
            try await tool.start(
                [
                    "/usr/bin/env", "python3", RequestFiles.tool, "--host", "127.0.0.1",
                    "--port", "\(service.port)", "--file", RequestFiles.folder + "/" + file,
                    "--strict", "--lint",
                ] + options
            )
            let output = String(decoding: try await tool.rest(), as: UTF8.self)
            #expect(await tool.exit() == .exited(0), "\(output)\(tool.log())")
            #expect(output.contains("\(count) passed, 0 failed"), "\(output)")
            #expect(!output.contains("lint:"), "\(output)")
        }
    }
}
