import ArgumentParser
import Glibc
import Reactor

/// `millrace send`: files of events to a server, until all of them have an answer.
struct SendCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "send",
        abstract: "Send files of events, one JSON object a line, to a server.",
        discussion: """
            Prints what became of the events, and the first of those that were rejected. What a failure left \
            open is sent again, which is safe for events that carry an id. Files may be compressed with \
            gzip. A file that cannot be read, or is damaged, does not keep the others from being sent. A \
            key is taken from MILLRACE_KEY.

            With --state, the next run of the same command goes on where one was killed or has failed: in \
            each file behind the last line up to which all are acknowledged, so that of a file that has \
            grown only what is new is sent. The state holds good for one server, and for files that still \
            begin with the same bytes; another is sent from its beginning, with a message. Rejected events \
            count as acknowledged: the server keeps them.

            A terminal shows how far it is; elsewhere there is a line a minute. SIGINT and SIGTERM wait for \
            the answers under way, a second one does not.

            The exit code is 0 when every event is stored, now or before; 1 when one was rejected or is not \
            acknowledged, a file could not be read to its end, or the state not be kept; 2 when the command \
            line is wrong; and 130 or 143 after SIGINT or SIGTERM.
            """
    )

    @Argument(
        help: ArgumentHelp("Files to send, one after another; '-' is standard input.", valueName: "file")
    )
    var files: [String]

    @Option(help: "The server. (default: on this machine, at port 8080 or MILLRACE_LISTEN; MILLRACE_URL)")
    var url: String?

    @Option(
        help: ArgumentHelp(
            "Remember in this file what is acknowledged, and go on behind it. (MILLRACE_STATE)",
            valueName: "file"
        )
    )
    var state: String?

    @Option(help: ArgumentHelp("Events of one request. (default: 5000; MILLRACE_CHUNK)", valueName: "lines"))
    var chunk: String?

    @Option(
        help: ArgumentHelp("Requests under way at once. (default: 4; MILLRACE_CONCURRENCY)", valueName: "n")
    )
    var concurrency: String?

    @Option(
        help: ArgumentHelp(
            "Further attempts of a failed request. (default: 12; MILLRACE_RETRIES)",
            valueName: "n"
        )
    )
    var retries: String?

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        do throws(ConfigurationError) { try EnvironmentRules.check(surroundings.environment) } catch {
            throw CommandFailure(Exit.usage, error.description)
        }
        let options = try options(surroundings)
        let inputs = files.map { SendInput($0) }
        let statePath = state ?? surroundings.variable("MILLRACE_STATE")
        if statePath != nil { try SendRun.checkResumable(inputs) }
        let isTerminal = Terminal.isThere && surroundings.variable("TERM") != "dumb"
        let line = ProgressLine(isShown: isTerminal)
        let reading = try Self.loop("millrace-read")
        defer { reading.stop() }
        let writing = try Self.loop("millrace-state")
        defer { writing.stop() }
        let stateFile = try statePath.map { path throws(CommandFailure) in
            try SendStateFile(
                path: path,
                server: options.server.description,
                report: { line.interrupt(with: $0) },
                on: writing
            )
        }
        return try await onLoop { loop in
            let run = SendRun(options, inputs, state: stateFile, line: line, reading: reading, on: loop)
            return await run.run()
        }
    }

    private static func loop(_ name: String) throws(CommandFailure) -> EventLoop {
        do throws(SystemError) { return try EventLoop(name: name) } catch {
            throw CommandFailure("no event loop: \(error)")
        }
    }

    func options(_ surroundings: Surroundings) throws(CommandFailure) -> SendOptions {
        var options = SendOptions(server: try ServerURL(given: url, surroundings))
        options.key = surroundings.variable("MILLRACE_KEY")
        func number(_ flag: String?, _ name: String, _ range: ClosedRange<Int>) throws(CommandFailure) -> Int?
        {
            let variable = Setting.variable(ofKey: name)
            guard let text = flag ?? surroundings.variable(variable) else { return nil }
            guard let value = SettingText.count(text, in: range) else {
                let place = flag == nil ? variable : "--\(name)"
                let expected = "a number from \(range.lowerBound) to \(range.upperBound)"
                throw CommandFailure(Exit.usage, "\(place): '\(text)' is not \(expected)")
            }
            return value
        }
        options.linesMax = try number(chunk, "chunk", 1...SendOptions.linesLimit) ?? options.linesMax
        options.concurrency =
            try number(concurrency, "concurrency", 1...SendOptions.concurrencyLimit) ?? options.concurrency
        options.retriesMax =
            try number(retries, "retries", 0...SendOptions.retriesLimit) ?? options.retriesMax
        return options
    }
}
