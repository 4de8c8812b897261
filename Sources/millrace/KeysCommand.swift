import Access
import ArgumentParser
import Events
import Logging
import Postgres
import Reactor
import Server

/// `millrace keys`: who may send, read and administer.
struct KeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys",
        abstract: "Make, list and revoke the keys that clients show.",
        discussion: """
            Until the first key is made, only clients on this machine are answered. From then on every \
            request needs a key (Authorization: Bearer KEY), also from this machine. A change is in force on \
            every node within seconds.

            The commands ask a running server, with the key in MILLRACE_KEY once there are keys, or go to \
            the database where --database or DATABASE_URL names one.
            """,
        subcommands: [CreateKeyCommand.self, ListKeysCommand.self, RevokeKeyCommand.self]
    )
}

/// Where the keys are changed; the same for all commands.
struct KeyOffice: ParsableArguments {
    @Option(help: "The server. (default: on this machine, at port 8080 or MILLRACE_LISTEN; MILLRACE_URL)")
    var url: String?

    @Option(
        help: ArgumentHelp(
            "The database to go to instead. (MILLRACE_DATABASE or DATABASE_URL, unless --url is given)",
            valueName: "url"
        )
    )
    var database: String?

    /// Asks the server, or does it in the database.
    func run(
        _ surroundings: Surroundings,
        _ request: ServerRequest,
        database work: @escaping @Sendable (KeyStore) async throws(KeyError) -> [String]
    ) async throws(CommandFailure) -> [String] {
        if let conninfo = database(surroundings) {
            return try await onLoop { loop in await Self.work(conninfo, on: loop, work) }.get()
        }
        return try await AskedServer.with(url, surroundings, command: "keys") {
            server throws(CommandFailure) in
            request.lines(try await server.ask(request.method, request.path, body: request.body))
        }
    }

    private func database(_ surroundings: Surroundings) -> String? {
        if let database { return database }
        if url != nil || surroundings.variable("MILLRACE_URL") != nil { return nil }
        return Setting.database.variables.lazy.compactMap { surroundings.variable($0) }.first
    }

    private static func work(
        _ conninfo: String,
        on loop: EventLoop,
        _ work: @Sendable (KeyStore) async throws(KeyError) -> [String]
    ) async -> Result<[String], CommandFailure> {
        let connection = PostgresConnection(
            PostgresConfiguration(conninfo: conninfo),
            name: "keys",
            loop: loop,
            logger: Logger(label: "keys") { LineLogHandler(label: $0, format: .text, level: .error) }
        )
        let result: Result<[String], CommandFailure>
        do throws(KeyError) {
            result = .success(try await work(KeyStore(connection)))
        } catch {
            result = .failure(failure(error))
        }
        await connection.close()
        return result
    }

    static func failure(_ error: KeyError) -> CommandFailure {
        switch error {
        case .invalid(let member, let expected):
            CommandFailure(Exit.usage, "keys: \(member): expected \(expected)")
        case .notFound: CommandFailure("keys: there is no such key")
        case .unavailable(let reason): CommandFailure("keys: the database did not answer (\(reason))")
        }
    }

    /// One request to the server, and how its answer is told.
    struct ServerRequest: Sendable {
        let method: String
        let path: String
        var body: [UInt8] = []
        let lines: @Sendable ([String: JSONValue]) -> [String]
    }

    /// Who is named in the audit trail.
    static func actor(_ surroundings: Surroundings) -> Actor {
        Actor(name: "cli:" + (surroundings.variable("USER") ?? "unknown"))
    }
}

struct CreateKeyCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Make a key and print it, alone on a line: the only time that it is shown."
    )

    @OptionGroup var office: KeyOffice
    @Option(help: "What to call it.") var name: String
    @Option(help: "What it is for: write, read or admin. Repeat it for more.") var scope: [String] = []
    @Option(help: "The source of events that name none.") var source: String?
    @Option(help: "A type of events that it may send; all without. Repeat it for more.") var type: [String] =
        []
    @Option(help: "A web origin whose pages may use it, or *. Repeat it for more.") var origin: [String] = []
    @Option(help: ArgumentHelp("Events a second that it may send to a node.", valueName: "n"))
    var rate: Double?
    @Option(help: ArgumentHelp("Events that it may send at once on top.", valueName: "n")) var burst: Int?

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        let new: NewKey
        do throws(KeyError) {
            new = try NewKey(
                name: name,
                scopes: scope,
                source: source,
                types: type,
                origins: origin,
                rate: rate,
                burst: burst
            )
        } catch {
            throw KeyOffice.failure(error)
        }
        let request = KeyOffice.ServerRequest(method: "POST", path: "/v1/keys", body: body(new)) { members in
            members["key"]?.string.map { [$0] } ?? []
        }
        let actor = KeyOffice.actor(surroundings)
        let lines = try await office.run(surroundings, request) { store throws(KeyError) in
            [try await store.create(new, by: actor).0.key]
        }
        for line in lines { Output.say(line) }
        return Exit.success
    }

    private func body(_ new: NewKey) -> [UInt8] {
        var members: [String: JSONValue] = [
            "name": .string(new.name), "scopes": .array(new.scopes.names.map { .string($0) }),
            "types": .array(new.types.map { .string($0) }),
            "origins": .array(new.origins.map { .string($0) }), "burst": .integer(Int64(new.burst)),
        ]
        if let source = new.source { members["source"] = .string(source) }
        if let rate = new.rate { members["rate"] = .number(rate) }
        return JSONValue.object(members).bytes
    }
}

struct ListKeysCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the keys: number, name, scopes, last characters, when made, when revoked."
    )

    @OptionGroup var office: KeyOffice

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        let request = KeyOffice.ServerRequest(method: "GET", path: "/v1/keys") { members in
            guard case .array(let keys)? = members["keys"] else { return [] }
            return keys.compactMap(\.object).map { key in
                Self.line(
                    key["id"]?.integer ?? 0,
                    key["name"]?.string ?? "",
                    key["scopes"]?.strings ?? [],
                    key["hint"]?.string ?? "",
                    key["created_at"]?.string ?? "",
                    key["revoked_at"]?.string
                )
            }
        }
        let lines = try await office.run(surroundings, request) { store throws(KeyError) in
            try await store.list().map { stored in
                let key = stored.key
                return Self.line(
                    key.id,
                    key.name,
                    key.scopes.names,
                    stored.hint,
                    stored.createdAt,
                    stored.revokedAt
                )
            }
        }
        for line in lines { Output.say(line) }
        return Exit.success
    }

    private static func line(
        _ id: Int64,
        _ name: String,
        _ scopes: [String],
        _ hint: String,
        _ createdAt: String,
        _ revokedAt: String?
    ) -> String {
        let fields = ["\(id)", name, scopes.joined(separator: ","), "…\(hint)", createdAt]
        return (fields + (revokedAt.map { ["revoked \($0)"] } ?? [])).joined(separator: "  ")
    }
}

struct RevokeKeyCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke",
        abstract: "Revoke a key: it is refused from then on, on every node within seconds."
    )

    @OptionGroup var office: KeyOffice
    @Argument(help: "The key's number, as 'list' shows it.") var id: Int64

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        let (actor, id) = (KeyOffice.actor(surroundings), id)
        let request = KeyOffice.ServerRequest(method: "DELETE", path: "/v1/keys/\(id)") { _ in [] }
        _ = try await office.run(surroundings, request) { store throws(KeyError) in
            try await store.revoke(id, by: actor)
            return []
        }
        return Exit.success
    }
}
