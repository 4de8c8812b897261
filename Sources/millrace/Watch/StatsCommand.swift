import ArgumentParser
import Events

/// `millrace stats`: the statistics of a server, once.
struct StatsCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Print the statistics of a server.",
        discussion: "With keys in force it needs one with the scope read, in MILLRACE_KEY."
    )

    @OptionGroup var server: ServerOption

    @Flag(help: "Print the object of /v1/stats instead, on one line.") var json = false

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        let answer = try await server.ask(surroundings, command: "stats") {
            server throws(CommandFailure) in
            try await server.ask("GET", "/v1/stats")
        }
        if json {
            Output.say(JSONValue.object(answer).bytes)
        } else {
            for line in StatsText(answer).lines() { Output.say(line) }
        }
        return Exit.success
    }
}
