import CSystem
import Glibc

/// A regular file that is read and written at given places and made durable on demand.
///
/// Every call waits for the disk: for what has a thread of its own, never for an event loop with connections.
package final class DiskFile: Sendable {
    private let descriptor: Descriptor

    /// How ``DiskFile`` finds its file.
    package enum Mode: Sendable {
        /// There is one.
        case existing
        /// There must be none yet.
        case new
    }

    /// Opens the file at `path`, for its owner alone when it is new.
    package convenience init(path: String, _ mode: Mode) throws(SystemError) {
        try self.init(path: path, mode, permissions: 0o600)
    }

    /// The same; a new file gets these permissions, less the process's umask.
    init(path: String, _ mode: Mode, permissions: mode_t) throws(SystemError) {
        let flags = mode == .new ? O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC : O_RDWR | O_CLOEXEC
        descriptor = Descriptor(adopting: try systemCall("open") { open(path, flags, permissions) })
    }

    /// Its size in bytes.
    package func size() throws(SystemError) -> Int {
        var status = stat()
        try systemCall("fstat") { fstat(descriptor.raw, &status) }
        return Int(status.st_size)
    }

    /// Up to `count` bytes from `offset` on; fewer at the file's end only.
    package func read(at offset: Int, count: Int) throws(SystemError) -> [UInt8] {
        var failure: CInt = 0
        let raw = descriptor.raw
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { room, filled in
            while filled < count {
                let rest = UnsafeMutableRawBufferPointer(
                    rebasing: UnsafeMutableRawBufferPointer(room)[filled...]
                )
                let read = pread(raw, rest.baseAddress, rest.count, off_t(offset + filled))
                if read < 0, errno == EINTR { continue }
                if read < 0 { failure = errno }
                if read <= 0 { return }
                filled += read
            }
        }
        if failure != 0 { throw SystemError(call: "pread", code: failure) }
        return bytes
    }

    /// Writes all of `bytes` from `offset` on; after an error any part of them may have been written.
    package func write(_ bytes: [UInt8], at offset: Int) throws(SystemError) {
        let raw = descriptor.raw
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { all in
                let rest = UnsafeRawBufferPointer(rebasing: all[written...])
                return pwrite(raw, rest.baseAddress, rest.count, off_t(offset + written))
            }
            if count < 0 {
                let code = errno
                if code == EINTR { continue }
                throw SystemError(call: "pwrite", code: code)
            }
            written += count
        }
    }

    /// Returns once the file's bytes are on the disk (fdatasync(2)).
    ///
    /// After an error nothing is known of what was written since the last success, and never will be: the
    /// kernel forgets what it could not write, so that a second call would succeed. Not tried again for
    /// EINTR either.
    package func synchronize() throws(SystemError) {
        if fdatasync(descriptor.raw) == -1 { throw SystemError(call: "fdatasync", code: errno) }
    }

    /// Cuts the file to `size` bytes.
    package func truncate(to size: Int) throws(SystemError) {
        let raw = descriptor.raw
        try systemCall("ftruncate") { ftruncate(raw, off_t(size)) }
    }

    /// Takes room on the disk for `bytes` from the file's beginning, its size staying as it is.
    ///
    /// Where the file system cannot promise room nothing happens.
    package func reserve(bytes: Int) throws(SystemError) {
        let raw = descriptor.raw
        do throws(SystemError) {
            try systemCall("fallocate") { csystem_reserve(raw, bytes) }
        } catch {
            if error.code != EOPNOTSUPP { throw error }
        }
    }
}

/// A folder whose entries are listed, renamed and removed, and made durable on demand.
///
/// Every call waits for the disk, as those of ``DiskFile`` do.
package struct DiskFolder: Sendable {
    package let path: String
    private let descriptor: FolderDescriptor

    private final class FolderDescriptor: Sendable {
        let descriptor: Descriptor

        init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
    }

    /// Opens the folder at `path`, which is there.
    package init(path: String) throws(SystemError) {
        self.path = path
        descriptor = FolderDescriptor(
            Descriptor(adopting: try systemCall("open") { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) })
        )
    }

    /// The names in it, in no order.
    package func names() throws(SystemError) -> [String] {
        guard let stream = opendir(path) else { throw SystemError(call: "opendir", code: errno) }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                let code = errno
                if code != 0 { throw SystemError(call: "readdir", code: code) }
                return names
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
    }

    /// The path of an entry.
    package func path(of name: String) -> String { "\(path)/\(name)" }

    /// Gives an entry another name, replacing what has it.
    package func rename(_ name: String, to other: String) throws(SystemError) {
        try systemCall("rename") { Glibc.rename(path(of: name), path(of: other)) }
    }

    /// Removes a file.
    package func remove(_ name: String) throws(SystemError) {
        try systemCall("unlink") { unlink(path(of: name)) }
    }

    /// Returns once the folder's entries are on the disk (fsync(2)).
    package func synchronize() throws(SystemError) {
        if fsync(descriptor.descriptor.raw) == -1 { throw SystemError(call: "fsync", code: errno) }
    }

    /// Bytes that unprivileged users may still take on its disk (statvfs(3)).
    package func freeBytes() throws(SystemError) -> Int {
        var status = statvfs()
        let raw = descriptor.descriptor.raw
        try systemCall("fstatvfs") { fstatvfs(raw, &status) }
        return Int(clamping: UInt64(status.f_bavail) * UInt64(status.f_frsize))
    }
}
