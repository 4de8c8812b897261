import Reactor
import TestSupport
import Testing

/// Makes keys with the program's own command.
struct KeyDesk: Sendable {
    let installation: Installation
    let url: String

    /// Returns the key; `key` is who makes it.
    func create(_ options: [String], key: String? = nil) async throws -> String {
        let made = try await installation.run(
            ["keys", "create", "--url", url] + options,
            environment: key.map { ["MILLRACE_KEY": $0] } ?? [:]
        )
        try #require(made.status == .exited(0), "\(made.complaint)")
        let lines = made.output.split(separator: "\n")
        try #require(lines.count == 1 && lines[0].hasPrefix("mr_"), "the key alone: \(made.output)")
        return String(lines[0])
    }
}
