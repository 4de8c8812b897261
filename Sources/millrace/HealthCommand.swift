import ArgumentParser
import Reactor

/// `millrace health`: whether a server is alive, for a container's HEALTHCHECK.
struct HealthCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "health",
        abstract: "Ask a server whether it is alive: exit code 0 if it is, 1 if not."
    )

    @Argument(
        help: """
            The server. \
            (default: the first address of MILLRACE_LISTEN, else http://127.0.0.1:8080; MILLRACE_URL)
            """
    )
    var url: String?

    /// Less than a container runtime's patience, so that the reason gets printed.
    private static let timeout = Duration.milliseconds(2_500)

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        let server = try ServerURL(given: url, surroundings)
        let failure = try await onLoop { loop in await Self.check(server, on: loop) }
        if let failure { throw CommandFailure("health: \(server): \(failure)") }
        return Exit.success
    }

    /// What is wrong with the server; `nil` when it is alive.
    static func check(_ server: ServerURL, on loop: EventLoop) async -> String? {
        let client = HTTPClient(server, on: loop)
        defer { client.close() }
        do throws(HTTPClientError) {
            let response = try await client.send("GET", "/healthz", deadline: .after(timeout))
            return response.status == 200 ? nil : "status \(response.status)"
        } catch {
            return error.description
        }
    }
}
