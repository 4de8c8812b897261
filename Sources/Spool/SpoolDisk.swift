package import Reactor

/// The file system as the spool uses it: a folder of its own, and the files in it.
///
/// A seam: tests put a disk in its place that tears writes, fails and loses power between any two calls.
/// Every call may block; the spool makes them on threads of its own.
package protocol SpoolDisk: Sendable {
    /// The names of the files in the folder, in no order.
    func names() throws(SystemError) -> [String]
    func open(_ name: String) throws(SystemError) -> any SpoolFile
    /// Makes an empty file; there must be none of this name.
    func create(_ name: String) throws(SystemError) -> any SpoolFile
    func rename(_ name: String, to other: String) throws(SystemError)
    func remove(_ name: String) throws(SystemError)
    /// Makes what was created, renamed and removed durable.
    func synchronize() throws(SystemError)
}

extension DiskFile: SpoolFile {}

/// A folder of the real file system that this process alone uses, for as long as the value lives.
package final class LockedFolder: SpoolDisk {
    private let folder: DiskFolder
    private let lock: FileLock

    /// Makes the folder if need be and locks it.
    ///
    /// - Throws: ``SystemError``, that of `flock` when another process has it.
    package init(path: String) throws(SystemError) {
        try ProcessSetup.makeDirectory(path)
        folder = try DiskFolder(path: path)
        lock = try FileLock(path: folder.path(of: Self.lockName))
    }

    private static let lockName = "lock"

    /// Bytes that may still be taken on its disk.
    package func freeBytes() throws(SystemError) -> Int { try folder.freeBytes() }

    package func names() throws(SystemError) -> [String] { try folder.names().filter { $0 != Self.lockName } }

    package func open(_ name: String) throws(SystemError) -> any SpoolFile {
        try DiskFile(path: folder.path(of: name), .existing)
    }

    package func create(_ name: String) throws(SystemError) -> any SpoolFile {
        try DiskFile(path: folder.path(of: name), .new)
    }

    package func rename(_ name: String, to other: String) throws(SystemError) {
        try folder.rename(name, to: other)
    }

    package func remove(_ name: String) throws(SystemError) { try folder.remove(name) }

    package func synchronize() throws(SystemError) { try folder.synchronize() }
}
