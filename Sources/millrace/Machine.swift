import Glibc
import Reactor

/// What of this machine the defaults depend on.
struct Machine: Equatable, Sendable {
    var cores: Int
    var hostName: String
    /// Whether standard error is a terminal.
    var logsToTerminal: Bool

    /// The machine that this process runs on.
    static var this: Machine {
        var name = [CChar](repeating: 0, count: 256)
        // The last byte stays 0: POSIX does not promise to end a name that had to be cut.
        let failed = gethostname(&name, name.count - 1) != 0
        return Machine(
            cores: max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN))),
            hostName: failed ? "millrace" : text(of: name),
            logsToTerminal: isatty(STDERR_FILENO) == 1
        )
    }

    /// The path of this program, for starting it again as a worker.
    static func programPath() throws(SystemError) -> String {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &path, path.count - 1)
        if count < 0 { throw SystemError(call: "readlink", code: errno) }
        return text(of: path)
    }

    /// The variables of the environment, as the program was started with.
    static func environment() throws(SystemError) -> [String: String] {
        var reader = try FileReader(path: "/proc/self/environ")
        // The kernel takes 6 MiB of arguments and environment at most (execve(2), MAX_ARG_STRINGS aside).
        let bytes = try reader.readAll(bytesMax: 8 << 20)
        var variables: [String: String] = [:]
        for entry in bytes.split(separator: 0) {
            guard let equals = entry.firstIndex(of: UInt8(ascii: "=")) else { continue }
            let name = String(decoding: entry[..<equals], as: UTF8.self)
            // getenv(3) gives the first of two.
            if variables[name] == nil {
                variables[name] = String(decoding: entry[(equals + 1)...], as: UTF8.self)
            }
        }
        return variables
    }

    private static func text(of characters: [CChar]) -> String {
        String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
