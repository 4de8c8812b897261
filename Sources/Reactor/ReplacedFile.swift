import CSystem
import Glibc

/// A small file that is whole at every moment: each new content is written beside it, made durable, and put
/// in its place (fsync(2), rename(2)).
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
        do throws(SystemError) {
            try Self.write(bytes, to: new)
            try systemCall("rename") { rename(new, path) }
        } catch {
            _ = unlink(new)
            throw error
        }
        try Self.synchronize(folderOf: path)
    }

    private static func write(_ bytes: [UInt8], to path: String) throws(SystemError) {
        let flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC
        let file = Descriptor(adopting: try systemCall("open") { open(path, flags, 0o644) })
        let raw = file.raw
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { all in
                let rest = UnsafeRawBufferPointer(rebasing: all[written...])
                return Glibc.write(raw, rest.baseAddress, rest.count)
            }
            let code = errno
            if count < 0, code != EINTR { throw SystemError(call: "write", code: code) }
            written += max(0, count)
        }
        if fsync(raw) == -1 { throw SystemError(call: "fsync", code: errno) }
        withExtendedLifetime(file) {}
    }

    private static func synchronize(folderOf path: String) throws(SystemError) {
        let parent = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
        let folder = Descriptor(adopting: try systemCall("open") { open(parent, flags) })
        if fsync(folder.raw) == -1 { throw SystemError(call: "fsync", code: errno) }
    }
}
