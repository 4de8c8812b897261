import Glibc

/// `postmaster.pid`, which a running postmaster keeps in its data directory (miscadmin.h, LOCK_FILE_LINE_*).
struct PostmasterFile: Equatable, Sendable {
    let pid: Int32
    let port: Int
    let socketDirectory: String

    init?(_ text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count >= 5, let pid = Int32(lines[0]), pid > 1, let port = Int(lines[3]) else {
            return nil
        }
        self.pid = pid
        self.port = port
        socketDirectory = String(lines[4])
    }

    /// The postmaster that runs on `directory`, which must be free of symbolic links.
    static func running(in directory: String) -> PostmasterFile? {
        guard let text = ClusterFiles.read(directory + "/postmaster.pid"), let file = PostmasterFile(text),
            isPostmaster(file.pid, of: directory)
        else { return nil }
        return file
    }

    /// Whether `pid` lives and works in `directory`, as a postmaster does: after a reboot, or in a container,
    /// the number may be somebody else's.
    static func isPostmaster(_ pid: Int32, of directory: String) -> Bool {
        guard kill(pid, 0) == 0 || errno == EPERM else { return false }
        // A zombie has no working directory any more.
        return ClusterFiles.target(ofLink: "/proc/\(pid)/cwd") == directory
    }

    /// Removes a file whose number lives on as another program; PostgreSQL would take that for its postmaster
    /// and refuse.
    ///
    /// A file whose number is free stays: PostgreSQL itself checks then that no backend is left.
    static func removeIfReused(in directory: String) {
        let path = directory + "/postmaster.pid"
        guard let text = ClusterFiles.read(path) else { return }
        guard let file = PostmasterFile(text) else { return }
        let isAlive = kill(file.pid, 0) == 0 || errno == EPERM
        if isAlive, !isPostmaster(file.pid, of: directory) { ClusterFiles.remove(path) }
    }
}
