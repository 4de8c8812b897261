import ArgumentParser
import Glibc
import Reactor
import Synchronization

/// `millrace send`: files of events to a server, until all of them have an answer.
struct SendCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "send",
        abstract: "Send files of events, one JSON object a line, to a server.",
        discussion: """
            Prints what became of the events, and the first of those that were rejected. What a failure left \
            open is sent again, which is safe for events that carry an id. The exit code is 0 when \
            every event is stored, now or before, and 1 otherwise. Files may be compressed with gzip. A \
            key is taken from MILLRACE_KEY.
            """
    )

    @Argument(
        help: ArgumentHelp("Files to send, one after another; '-' is standard input.", valueName: "file")
    )
    var files: [String]

    @Option(help: "The server. (default: on this machine, at port 8080 or MILLRACE_LISTEN; MILLRACE_URL)")
    var url: String?

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
        if let obstacle = inputs.compactMap(\.obstacle).first { throw CommandFailure("send: \(obstacle)") }
        let reading = try Self.readingLoop()
        defer { reading.stop() }
        return try await onLoop { loop in
            let source = ChunkSource(
                inputs,
                linesMax: options.linesMax,
                bytesMax: options.bytesMax,
                on: reading
            )
            return await Self.send(options, from: source, on: loop)
        }
    }

    private static func readingLoop() throws(CommandFailure) -> EventLoop {
        do throws(SystemError) { return try EventLoop(name: "millrace-read") } catch {
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

    private static func send(
        _ options: SendOptions,
        from source: ChunkSource,
        on loop: EventLoop
    ) async -> Int32 {
        let line = ProgressLine(isShown: isatty(STDERR_FILENO) == 1)
        let sender = Sender(options, source: source, on: loop, report: { line.interrupt(with: $0) })
        let start = Deadline.now()
        // Ended below, when everything is sent.
        let ticker = Task(executorPreference: loop) {
            while line.isShown, !Task.isCancelled {
                line.show(await sender.totals.progress(after: Deadline.now().duration(since: start)))
                await loop.sleep(for: ProgressLine.interval)
            }
        }
        let totals = await sender.run()
        ticker.cancel()
        await ticker.value
        line.clear()
        Output.say(totals.summary(after: Deadline.now().duration(since: start)))
        let isDone = await !sender.hasFailed && totals.rejected == 0 && totals.unacknowledged == 0
        return isDone ? Exit.success : Exit.failure
    }
}

/// The last line of a terminal, overwritten again and again; without colours and escapes, so NO_COLOR has its
/// way.
final class ProgressLine: Sendable {
    static let interval = Duration.milliseconds(200)

    /// Whether there is a terminal to show it on.
    let isShown: Bool
    private let width = Mutex(0)

    init(isShown: Bool) {
        self.isShown = isShown
    }

    func show(_ text: String) {
        width.withLock { width in
            Output.write("\r" + text + String(repeating: " ", count: max(0, width - text.count)))
            width = text.count
        }
    }

    /// Writes a line of its own above.
    func interrupt(with line: String) {
        clear()
        Output.complain(line)
    }

    func clear() {
        width.withLock { width in
            if width > 0 { Output.write("\r" + String(repeating: " ", count: width) + "\r") }
            width = 0
        }
    }
}
