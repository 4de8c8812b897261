import ArgumentParser
import Events
import Reactor

/// Which server a command asks.
struct ServerOption: ParsableArguments {
    @Option(help: "The server. (default: on this machine, at port 8080 or MILLRACE_LISTEN; MILLRACE_URL)")
    var url: String?

    /// Asks it, over one connection.
    func ask<Value: Sendable>(
        _ surroundings: Surroundings,
        command: String,
        _ body: @escaping @Sendable (AskedServer) async throws(CommandFailure) -> Value
    ) async throws(CommandFailure) -> Value {
        try await AskedServer.with(url, surroundings, command: command, body)
    }
}

/// A running server that a command asks, over one connection, with the key in MILLRACE_KEY.
struct AskedServer {
    private let client: HTTPClient
    private let loop: EventLoop
    private let server: ServerURL
    private let command: String

    private static let timeout = Duration.seconds(15)

    /// Connects to the server that `url` names, or the environment, when `body` first asks it something.
    static func with<Value: Sendable>(
        _ url: String?,
        _ surroundings: Surroundings,
        command: String,
        _ body: @escaping @Sendable (AskedServer) async throws(CommandFailure) -> Value
    ) async throws(CommandFailure) -> Value {
        let server = try ServerURL(given: url, surroundings)
        let key = surroundings.variable("MILLRACE_KEY")
        return try await onLoop { loop in await ask(server, key, command, on: loop, body) }.get()
    }

    private static func ask<Value: Sendable>(
        _ server: ServerURL,
        _ key: String?,
        _ command: String,
        on loop: EventLoop,
        _ body: @Sendable (AskedServer) async throws(CommandFailure) -> Value
    ) async -> Result<Value, CommandFailure> {
        let client = HTTPClient(server, key: key, on: loop)
        defer { client.close() }
        do throws(CommandFailure) {
            let asked = AskedServer(client: client, loop: loop, server: server, command: command)
            return .success(try await body(asked))
        } catch {
            return .failure(error)
        }
    }

    /// Waits on the loop of the connection.
    func sleep(until deadline: Deadline) async { await loop.sleep(until: deadline) }

    /// Sends one request and returns the members of its answer.
    ///
    /// - Throws: a failure with the server's own words when it refuses.
    func ask(
        _ method: String,
        _ path: String,
        body: [UInt8] = [],
        within timeout: Duration = Self.timeout
    ) async throws(CommandFailure) -> [String: JSONValue] {
        let response: HTTPResponse
        do throws(HTTPClientError) {
            response = try await client.send(
                method,
                path,
                contentType: body.isEmpty ? nil : "application/json",
                body: body,
                deadline: .after(timeout)
            )
        } catch {
            throw CommandFailure("\(command): \(server): \(error)")
        }
        let members = try? JSONReader.object(response.body)
        if 200..<300 ~= response.status { return members ?? [:] }
        let detail = members?["detail"]?.string ?? "status \(response.status)"
        throw CommandFailure("\(command): \(server): \(detail)")
    }
}
