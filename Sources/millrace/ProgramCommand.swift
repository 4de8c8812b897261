import ArgumentParser
import Glibc
import Reactor

/// A command that may wait and decides about the program's exit code.
protocol ProgramCommand: ParsableCommand, Sendable {
    /// Does what the command is for.
    ///
    /// - Returns: The program's exit code.
    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32
}

/// What commands see of the world around the program.
struct Surroundings: Sendable {
    var environment: [String: String]
    var machine: Machine

    /// Those of this process.
    static func this() throws(CommandFailure) -> Surroundings {
        do throws(SystemError) {
            return Surroundings(environment: try Machine.environment(), machine: .this)
        } catch {
            throw CommandFailure("the environment cannot be read: \(error)")
        }
    }

    /// A variable, unless it is empty.
    func variable(_ name: String) -> String? {
        environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The settings of `serve`, for any command that needs some of them.
    func configuration(
        flags: [Setting: [String]],
        file: String?
    ) throws(CommandFailure) -> Configuration {
        do throws(ConfigurationError) {
            return try Configuration(
                flags: flags,
                environment: environment,
                file: try (file ?? variable("MILLRACE_CONFIG")).map { path throws(ConfigurationError) in
                    try ConfigurationFile(path: path)
                },
                machine: machine
            )
        } catch {
            throw CommandFailure(Exit.usage, error.description)
        }
    }
}

/// Runs `body` on an event loop of its own, which ends with it.
func onLoop<Value: Sendable>(
    _ body: @escaping @Sendable (EventLoop) async -> Value
) async throws(CommandFailure) -> Value {
    let loop: EventLoop
    do throws(SystemError) { loop = try EventLoop(name: "millrace") } catch {
        throw CommandFailure("no event loop: \(error)")
    }
    defer { loop.stop() }
    // Ends with this call, which waits for it.
    return await Task(executorPreference: loop) { await body(loop) }.value
}

/// Lines for people and programs.
enum Output {
    /// A line on standard error, in one write(2).
    static func complain(_ text: String) {
        write(text + "\n")
    }

    /// A line on standard output, in one write(2): whoever reads a pipe sees it at once.
    static func say(_ text: String) { say(Array(text.utf8)) }

    /// The same, byte for byte.
    static func say(_ line: [UInt8]) {
        let bytes = line + [UInt8(ascii: "\n")]
        _ = Glibc.write(STDOUT_FILENO, bytes, bytes.count)
    }

    /// Standard error, as it is.
    static func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}
