// millrace: the program — commands, configuration and logs, and nothing that a target below could do.
//
// `serve` composes the service out of the targets (Service.swift). `migrate`, `send`, `keys`, `rejects`,
// `stats`, `top`, `health` and `doctor` are for operators; `bench-scan`, `bench-worker` and `bench-spool`
// measure what the program is made of. `worker` and `exec-worker` are what the service starts itself as: they
// are told apart before anything else happens, because the first has a protocol on its descriptors and the
// second is to become another program at once.
//
// Settings go one way: flags, variables and a file become a Configuration of texts with their origins, that
// becomes a checked ServiceConfiguration, and nobody reads the environment after that.

import ArgumentParser
import Glibc
import Reactor
import Workers

@main
enum Program {
    static let version = "0.1.0"

    /// Signals that `serve` waits for instead of being ended by them.
    static let serviceSignals: [CInt] = [SIGTERM, SIGINT, SIGHUP, SIGUSR1]

    static func main() async {
        let arguments = Array(CommandLine.arguments.dropFirst())
        switch arguments.first {
        case "exec-worker": Trampoline.run(arguments: Array(arguments.dropFirst()))
        case "worker": exit(work())
        default: break
        }
        exit(await run(arguments))
    }

    private static func work() -> CInt {
        let code = WorkerLoop.run()
        if code == WorkerLoop.Exit.misuse {
            Output.complain("worker: it is started by millrace, not by hand")
        }
        return code
    }

    /// Runs the command that `arguments` name and returns the program's exit code.
    static func run(_ arguments: [String]) async -> Int32 {
        do {
            var command = try MillraceCommand.parseAsRoot(arguments)
            guard let command = command as? any ProgramCommand else {
                try command.run()
                return Exit.success
            }
            return try await command.execute(.this())
        } catch let failure as CommandFailure {
            Output.complain("millrace: \(failure.message)")
            return failure.code
        } catch {
            return end(with: error)
        }
    }

    /// Prints what ArgumentParser has to say: a help text, the version, or what is wrong with the command
    /// line.
    private static func end(with error: any Error) -> Int32 {
        let text = MillraceCommand.fullMessage(for: error, columns: nil)
        switch MillraceCommand.exitCode(for: error) {
        case .success:
            Output.say(text)
            return Exit.success
        case .validationFailure:
            Output.complain(text)
            return Exit.usage
        case let code:
            Output.complain(text)
            return code.rawValue
        }
    }
}

/// `millrace` without a command.
struct MillraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "millrace",
        abstract: "Takes events over HTTP, stores each of them once in PostgreSQL, and computes statistics.",
        discussion: """
            Start with 'millrace serve'; without further options it brings its own PostgreSQL. \
            Every option is also an environment variable: --max-body is MILLRACE_MAX_BODY.

            The exit code is 0 after success, 1 after a failure, 2 when the command line or the \
            configuration is wrong, and 78 when the database belongs to another version of millrace.
            """,
        version: Program.version,
        subcommands: [
            ServeCommand.self, MigrateCommand.self, SendCommand.self, KeysCommand.self, RejectsCommand.self,
            StatsCommand.self, TopCommand.self, HealthCommand.self, DoctorCommand.self,
            BenchScanCommand.self, BenchWorkerCommand.self, BenchSpoolCommand.self,
        ]
    )
}
