import Glibc

/// A small file that is whole at every moment: each new content is written beside it, made durable, and put
/// in its place (fdatasync(2), rename(2)).
///
/// Its calls wait for the disk: for what has a thread of its own. One process at a time; see ``FileLock``.
package struct ReplacedFile: Sendable {
    /// Where it is, symbolic links followed: what they point to is replaced, not they.
    package let path: String

    /// The file at `path`, which need not be there.
    package init(path: String) {
        self.path = Self.resolved(path) ?? path
    }

    /// The absolute path of an existing file without symbolic links in it; `nil` when there is none.
    package static func resolved(_ path: String) -> String? {
        guard let found = realpath(path, nil) else { return nil }
        defer { free(found) }
        return String(cString: found)
    }

    /// Its content, `bytesMax` at most (`EFBIG` beyond); `nil` when there is no such file.
    package func read(bytesMax: Int) throws(SystemError) -> [UInt8]? {
        do throws(SystemError) {
            var reader = try FileReader(path: path)
            return try reader.readAll(bytesMax: bytesMax)
        } catch {
            if error.code == ENOENT { return nil }
            throw error
        }
    }

    /// Returns once `bytes` are the content and stay it, whatever happens to the machine.
    ///
    /// After an error it has its old content, or, if only the folder could not be made durable, either.
    package func replace(with bytes: [UInt8]) throws(SystemError) {
        let new = path + ".new"
        // What a process has left that died in the middle.
        _ = unlink(new)
        do throws(SystemError) {
            let file = try DiskFile(path: new, .new, permissions: 0o644)
            try file.write(bytes, at: 0)
            try file.synchronize()
            try systemCall("rename") { rename(new, path) }
        } catch {
            _ = unlink(new)
            throw error
        }
        try DiskFolder(path: path.lastIndex(of: "/").map { String(path[...$0]) } ?? ".").synchronize()
    }
}
