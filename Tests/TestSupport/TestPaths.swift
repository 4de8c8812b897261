import Glibc
import Synchronization

/// The temporary directories of the run.
package enum TestPaths {
    private static let directoriesMade = Atomic<Int>(0)
    private static let serverPID = Atomic<Int32>(0)

    private static var root: String { "/tmp/millrace-test-\(getpid())" }

    /// A new directory that is removed at the exit; short, for sockets, and open to PostgreSQL's account.
    package static func makeTemporaryDirectory() -> String {
        let number = directoriesMade.wrappingAdd(1, ordering: .relaxed).newValue
        if number == 1 {
            removeLeftovers()
            atexit { TestPaths.cleanUp() }
        }
        _ = mkdir(root, 0o711)
        let path = "\(root)/\(number)"
        _ = mkdir(path, 0o711)
        return path
    }

    /// Has the server stopped when the process ends.
    static func stopAtExit(pid: Int32) { serverPID.store(pid, ordering: .relaxed) }

    private static func cleanUp() {
        let pid = serverPID.load(ordering: .relaxed)
        if pid > 0 {
            kill(pid, SIGQUIT)
            // Bounded: the server also dies with this process.
            var looks = 0
            while kill(pid, 0) == 0, looks < 200 {
                usleep(10_000)
                looks += 1
            }
        }
        shell("rm -rf '\(root)'")
    }

    /// Runs that were killed could not clean up.
    private static func removeLeftovers() {
        shell("for d in /tmp/millrace-test-*; do kill -0 ${d##*-} 2>/dev/null || rm -rf \"$d\"; done")
    }

    private static func shell(_ command: String) { _ = system(command) }
}
