import ArgumentParser
import Events

/// `millrace rejects`: the events that were refused.
struct RejectsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rejects",
        abstract: "List, replay and delete the events that were refused.",
        discussion: """
            An event that is refused is kept as it came, with the reason. Replaying stores what is valid \
            now, once however often it is asked for, and leaves the rest.

            The commands ask a running server, with the key in MILLRACE_KEY once there are keys: the scope \
            read is for looking, admin for the rest.
            """,
        subcommands: [
            ListRejectsCommand.self, ShowRejectCommand.self, ReplayRejectsCommand.self,
            DeleteRejectsCommand.self,
        ]
    )
}

/// Which rejects, besides those that are named by their numbers.
struct RejectChoice: ParsableArguments {
    @Option(help: "Those refused for this reason, such as invalid_time.") var code: String?
    @Option(help: ArgumentHelp("Those received at this time (RFC 3339) or later.", valueName: "time"))
    var from: String?
    @Option(help: ArgumentHelp("Those received before this time.", valueName: "time")) var to: String?

    private var given: [(name: String, value: String)] {
        [("code", code), ("from", from), ("to", to)].compactMap { name, value in value.map { (name, $0) } }
    }

    var isEmpty: Bool { given.isEmpty }

    /// `name=value` pairs for a query.
    var query: [String] { given.map { "\($0.name)=\(Self.escaped($0.value))" } }

    /// Members for a body.
    var members: [String: JSONValue] {
        Dictionary(uniqueKeysWithValues: given.map { ($0.name, .string($0.value)) })
    }

    /// All but what RFC 3986 2.3 leaves as it is.
    private static func escaped(_ text: String) -> String {
        text.utf8.map { byte in
            let character = Character(Unicode.Scalar(byte))
            if byte < 0x80, character.isLetter || character.isNumber || "-._~".contains(character) {
                return String(character)
            }
            let digits = String(byte, radix: 16, uppercase: true)
            return byte < 16 ? "%0\(digits)" : "%\(digits)"
        }.joined()
    }
}

struct ListRejectsCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List rejects, the newest first: number, when received, code, pointer, id, what is wrong."
    )

    @OptionGroup var server: ServerOption
    @OptionGroup var choice: RejectChoice
    @Option(help: ArgumentHelp("How many at most.", valueName: "n")) var limit = 100

    /// Rejects of one answer, which holds their bytes, too.
    private static let pageMax = 100

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        let (query, limit) = (choice.query, limit)
        try await server.ask(surroundings, command: "rejects") { server throws(CommandFailure) in
            var left = limit
            var cursor: [String] = []
            while left > 0 {
                let items = query + ["limit=\(min(left, Self.pageMax))"] + cursor
                let page = try await server.ask("GET", "/v1/rejects?\(items.joined(separator: "&"))")
                guard case .array(let rejects)? = page["rejects"] else { return }
                for reject in rejects.compactMap(\.object) { Output.say(Self.line(reject)) }
                guard let next = page["next_cursor"]?.string else { return }
                left -= rejects.count
                cursor = ["cursor=\(next)"]
            }
        }
        return Exit.success
    }

    private static func line(_ reject: [String: JSONValue]) -> String {
        let texts = ["received_at", "code", "pointer", "id", "detail"].map { name in
            let text = reject[name]?.string ?? ""
            // It is the client's: a line end would make two rejects of one.
            return text.isEmpty ? "-" : String(text.map { $0.isNewline || $0.isASCII && $0 < " " ? "?" : $0 })
        }
        return (["\(reject["n"]?.integer ?? 0)"] + texts).joined(separator: "  ")
    }
}

struct ShowRejectCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Print a refused event as it came, to be mended and sent again."
    )

    @OptionGroup var server: ServerOption
    @Argument(help: "The reject's number, as 'list' shows it.") var n: Int64

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        let n = n
        let reject = try await server.ask(surroundings, command: "rejects") { server throws(CommandFailure) in
            try await server.ask("GET", "/v1/rejects/\(n)")
        }
        if let text = reject["raw"]?.string {
            Output.say(text)
        } else if let bytes = reject["raw_base64"]?.string.flatMap({ Base64.decode(Array($0.utf8).span) }) {
            Output.say(bytes)
        }
        return Exit.success
    }
}

struct ReplayRejectsCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Store the refused events that are valid now, and tell what became of them."
    )

    @OptionGroup var server: ServerOption
    @OptionGroup var choice: RejectChoice
    @Argument(help: "Numbers of rejects, as 'list' shows them.") var numbers: [Int64] = []
    @Flag(help: "Only say what would be stored.") var dryRun = false

    /// The server takes no more numbers at once.
    private static let numbersMax = 1_000
    /// The server goes on for 20 s, and then says that there is more.
    private static let timeout = Duration.seconds(90)
    private static let counts = ["matched", "stored", "duplicates", "rejected", "skipped"]

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        var base = choice.members
        base["dry_run"] = .bool(dryRun)
        let requests = requests(base)
        let totals = try await server.ask(surroundings, command: "rejects") { server throws(CommandFailure) in
            var totals: [String: Int64] = [:]
            for var request in requests {
                while true {
                    let body = JSONValue.object(request).bytes
                    let answer = try await server.ask(
                        "POST",
                        "/v1/rejects/replay",
                        body: body,
                        within: Self.timeout
                    )
                    for name in Self.counts { totals[name, default: 0] += answer[name]?.integer ?? 0 }
                    Self.tellErrors(answer["errors"])
                    guard let after = answer["after"] else { break }
                    request["after"] = after
                }
            }
            return totals
        }
        Output.say(Self.counts.map { "\($0) \(totals[$0] ?? 0)" }.joined(separator: "  "))
        return Exit.success
    }

    private func requests(_ base: [String: JSONValue]) -> [[String: JSONValue]] {
        if numbers.isEmpty { return [base] }
        return stride(from: 0, to: numbers.count, by: Self.numbersMax).map { start in
            var request = base
            let some = numbers[start..<min(start + Self.numbersMax, numbers.count)]
            request["ids"] = .array(some.map { .integer($0) })
            return request
        }
    }

    private static func tellErrors(_ errors: JSONValue?) {
        guard case .array(let errors)? = errors else { return }
        for error in errors.compactMap(\.object) {
            let words = ["code", "pointer", "detail"].compactMap { error[$0]?.string }.filter { !$0.isEmpty }
            Output.complain("\(error["n"]?.integer ?? 0)  \(words.joined(separator: "  "))")
        }
    }
}

struct DeleteRejectsCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Delete refused events for good, by number or by what is said of them."
    )

    @OptionGroup var server: ServerOption
    @OptionGroup var choice: RejectChoice
    @Argument(help: "Numbers of rejects, as 'list' shows them.") var numbers: [Int64] = []

    private static let timeout = Duration.seconds(90)

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        if !numbers.isEmpty, !choice.isEmpty {
            throw CommandFailure(Exit.usage, "rejects: either numbers or --code, --from and --to")
        }
        let (numbers, query) = (numbers, choice.query.joined(separator: "&"))
        let deleted = try await server.ask(surroundings, command: "rejects") {
            server throws(CommandFailure) in
            for n in numbers { _ = try await server.ask("DELETE", "/v1/rejects/\(n)") }
            if !numbers.isEmpty { return Int64(numbers.count) }
            var deleted: Int64 = 0
            while true {
                let answer = try await server.ask("DELETE", "/v1/rejects?\(query)", within: Self.timeout)
                deleted += answer["deleted"]?.integer ?? 0
                if answer["more"] != .bool(true) { return deleted }
            }
        }
        Output.say("deleted \(deleted)")
        return Exit.success
    }
}
