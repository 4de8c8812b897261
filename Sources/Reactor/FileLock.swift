import CSystem
import Glibc

/// An exclusive lock on a file, held until the value ends or the process dies, however it dies (flock(2)).
package struct FileLock: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Locks the file at `path`, making it if need be.
    ///
    /// - Throws: ``SystemError``: `flock` with `EWOULDBLOCK` when another process holds it, `open` when it
    /// cannot be
    ///   made.
    package init(path: String) throws(SystemError) {
        let opened = Descriptor(
            adopting: try systemCall("open") { open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644) }
        )
        let raw = opened.raw
        try systemCall("flock") { flock(raw, LOCK_EX | LOCK_NB) }
        descriptor = opened
    }
}

/// Folders and limits of the process.
package enum ProcessSetup {
    /// Makes the folder at `path` and those above it, for everybody to enter.
    ///
    /// The embedded database runs as another user below it.
    package static func makeDirectory(_ path: String) throws(SystemError) {
        var partial = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            partial += (partial.isEmpty || partial.hasSuffix("/") ? "" : "/") + part
            if mkdir(partial, 0o755) == -1, errno != EEXIST {
                throw SystemError(call: "mkdir", code: errno)
            }
        }
    }

    /// Allows as many descriptors as the system lets this process have; returns how many.
    @discardableResult
    package static func raiseDescriptorLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Int(clamping: limit.rlim_cur)
    }
}
