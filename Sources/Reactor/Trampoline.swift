import CSystem
import Glibc

/// What a child does between its birth and the program that it is to become: `millrace exec-worker`.
///
/// Leads a process group or session, drops privileges, ties its life to the parent's, closes every descriptor
/// that it was not given, and executes. Fails with exit code 127 and one line on standard error.
package enum Trampoline {
    /// The options between `exec-worker` and `--`.
    package struct Options: Equatable, Sendable {
        /// The process to die with; `nil` to outlive it.
        var parent: pid_t?
        var user: UserIdentity?
        var newSession = false
        /// The last descriptor number that the child keeps.
        var highestInherited: CInt = 2
        var workingDirectory: String?

        var arguments: [String] {
            var words = ["--keep", "\(highestInherited)"]
            if let parent { words += ["--parent", "\(parent)"] }
            if let user { words += ["--user", user.name] }
            if newSession { words += ["--session"] }
            if let workingDirectory { words += ["--directory", workingDirectory] }
            return words
        }
    }

    /// Runs the trampoline with the words after `exec-worker`; never returns.
    package static func run(arguments: [String]) -> Never {
        guard let (options, command) = parse(arguments), let program = command.first else {
            fail("exec-worker: it is started by millrace, not by hand")
        }
        prepare(options)
        _ = withCStrings(command) { execv(program, $0) }
        fail("exec-worker: \(program): \(String(cString: strerror(errno)))")
    }

    /// The options and the command behind `--`; `nil` when the words are not of that form.
    static func parse(_ arguments: [String]) -> (Options, command: [String])? {
        var options = Options()
        var rest = arguments[...]
        while let word = rest.popFirst() {
            switch word {
            case "--": return (options, Array(rest))
            case "--session": options.newSession = true
            case "--keep":
                guard let value = rest.popFirst().flatMap({ CInt($0) }) else { return nil }
                options.highestInherited = value
            case "--parent":
                guard let value = rest.popFirst().flatMap({ pid_t($0) }) else { return nil }
                options.parent = value
            case "--user":
                guard let user = rest.popFirst().flatMap({ UserIdentity(named: $0) }) else { return nil }
                options.user = user
            case "--directory":
                guard let value = rest.popFirst() else { return nil }
                options.workingDirectory = value
            default: return nil
            }
        }
        return nil
    }

    private static func prepare(_ options: Options) {
        if options.newSession { _ = setsid() } else { _ = setpgid(0, 0) }
        if let user = options.user {
            guard initgroups(user.name, user.groupID) == 0, setgid(user.groupID) == 0,
                setuid(user.userID) == 0
            else { fail("exec-worker: cannot become \(user.name): \(String(cString: strerror(errno)))") }
        }
        if let parent = options.parent {
            // After setuid, which clears it (prctl(2)). A parent that died before is noticed by its number.
            _ = csystem_die_with_parent()
            if getppid() != parent { _exit(127) }
        }
        if let directory = options.workingDirectory, chdir(directory) != 0 {
            fail("exec-worker: \(directory): \(String(cString: strerror(errno)))")
        }
        _ = csystem_close_range(UInt32(options.highestInherited + 1), UInt32.max)
    }

    private static func fail(_ message: String) -> Never {
        let line = Array((message + "\n").utf8)
        _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
        _exit(127)
    }
}
