import Glibc
import Reactor

/// The variables that tests can be told more with.
enum Environment {
    static func number(_ name: String) -> Int? { getenv(name).flatMap { Int(String(cString: $0)) } }
}

/// What the kernel says about processes.
enum ProcessTable {
    /// Whether a process lives; one that has died and was not reaped does not.
    static func isRunning(_ pid: Int32) -> Bool {
        do throws(SystemError) {
            var reader = try FileReader(path: "/proc/\(pid)/stat")
            let text = String(decoding: try reader.readAll(bytesMax: 4_096), as: UTF8.self)
            // The name, in parentheses, may hold anything; the state comes behind it.
            let state = text.split(separator: ")").last?.first { $0 != " " }
            return state != "Z" && state != "X"
        } catch {
            return false
        }
    }

    /// The processes that a process's first thread has started.
    static func children(of pid: Int32) -> [Int32] {
        do throws(SystemError) {
            var reader = try FileReader(path: "/proc/\(pid)/task/\(pid)/children")
            let text = String(decoding: try reader.readAll(bytesMax: 65_536), as: UTF8.self)
            return text.split(separator: " ").compactMap { Int32($0) }
        } catch {
            return []
        }
    }
}
