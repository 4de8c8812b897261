import ArgumentParser
import Reactor

/// `millrace top`: the statistics of a server, again and again.
struct TopCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Watch the statistics of a server.",
        discussion: """
            On a terminal the figures are drawn over the ones before; otherwise each look is one line. It \
            goes on while the server is away, until it is interrupted. With keys in force it needs one with \
            the scope read, in MILLRACE_KEY.
            """
    )

    @OptionGroup var server: ServerOption

    @Option(help: ArgumentHelp("Between two looks.", valueName: "seconds")) var interval = 1.0

    @Option(help: ArgumentHelp("End after so many looks.", valueName: "n")) var count: Int?

    private static let intervals = 0.1...3_600.0
    /// Of a terminal that does not say how wide it is.
    private static let columnsStandard = 80

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        guard Self.intervals.contains(interval) else {
            throw CommandFailure(Exit.usage, "--interval: expected a number from 0.1 to 3600")
        }
        let screen = Screen(isTerminal: Terminal.isOutput && surroundings.variable("TERM") != "dumb")
        let (pause, looks) = (Duration.seconds(interval), count ?? .max)
        try await server.ask(surroundings, command: "top") { server throws(CommandFailure) in
            var next = Deadline.now()
            for look in 0..<looks {
                do throws(CommandFailure) {
                    screen.show(StatsText(try await server.ask("GET", "/v1/stats")))
                } catch {
                    // A server that was never there is a mistake; one that goes away may come back.
                    if look == 0 { throw error }
                    Output.complain(error.message)
                }
                next = next.advanced(by: pause)
                if look + 1 < looks { await server.sleep(until: next) }
            }
        }
        return Exit.success
    }

    private struct Screen {
        let isTerminal: Bool

        func show(_ text: StatsText) {
            guard isTerminal else {
                Output.say(text.line)
                return
            }
            // ECMA-48: home (CUP); what was there before is erased behind each line (EL) and below (ED).
            let lines = text.lines(columns: Terminal.columns ?? TopCommand.columnsStandard)
            Output.say("\u{1B}[H" + lines.map { $0 + "\u{1B}[K\n" }.joined() + "\u{1B}[J")
        }
    }
}
