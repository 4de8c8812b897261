import Glibc
import Reactor

/// The few file operations that a private cluster needs.
enum ClusterFiles {
    /// What stat(2) says of a path, symbolic links not followed.
    struct Status: Equatable {
        let isDirectory: Bool
        let permissions: UInt32
        let owner: UInt32
        let group: UInt32
    }

    static func status(of path: String, followingLinks: Bool = true) -> Status? {
        var info = stat()
        guard (followingLinks ? stat(path, &info) : lstat(path, &info)) == 0 else { return nil }
        return Status(
            isDirectory: info.st_mode & S_IFMT == S_IFDIR,
            permissions: info.st_mode & 0o7777,
            owner: info.st_uid,
            group: info.st_gid
        )
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    static func isExecutable(_ path: String) -> Bool { access(path, X_OK) == 0 }

    /// Makes a directory and those above it; one that exists stays as it is.
    static func makeDirectories(_ path: String, permissions: UInt32) throws(SystemError) {
        var prefix = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            prefix += prefix.isEmpty || prefix.hasSuffix("/") ? String(part) : "/" + part
            try makeDirectory(prefix, permissions: permissions)
        }
    }

    /// Makes a directory; one that exists stays as it is.
    static func makeDirectory(_ path: String, permissions: UInt32) throws(SystemError) {
        if mkdir(path, permissions) == 0 || errno == EEXIST { return }
        throw SystemError(call: "mkdir \(path)", code: errno)
    }

    static func changeOwner(_ path: String, to user: UserIdentity) throws(SystemError) {
        if lchown(path, user.userID, user.groupID) != 0 {
            throw SystemError(call: "chown \(path)", code: errno)
        }
    }

    static func move(_ source: String, to target: String) throws(SystemError) {
        if rename(source, target) != 0 { throw SystemError(call: "rename \(source)", code: errno) }
    }

    static func remove(_ path: String) { _ = unlink(path) }

    /// The path without symbolic links and dots; `nil` when it does not exist.
    static func resolve(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        return realpath(path, &buffer) == nil ? nil : text(buffer)
    }

    /// Where a symbolic link points.
    static func target(ofLink path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        return readlink(path, &buffer, buffer.count - 1) < 0 ? nil : text(buffer)
    }

    private static func text(_ buffer: [CChar]) -> String {
        String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Up to 64 KiB of a file from `offset`; `nil` when it cannot be read.
    static func read(_ path: String, from offset: Int = 0) -> String? {
        let raw = open(path, O_RDONLY | O_CLOEXEC)
        if raw < 0 { return nil }
        let file = Descriptor(adopting: raw)
        var bytes = [UInt8](repeating: 0, count: 64 * 1_024)
        let count = pread(file.raw, &bytes, bytes.count, offset)
        return count < 0 ? nil : String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    static func size(_ path: String) -> Int {
        var info = stat()
        return stat(path, &info) == 0 ? Int(info.st_size) : 0
    }

    /// Opens a file to append to, for a child's output.
    static func openForAppending(_ path: String) throws(SystemError) -> Descriptor {
        let raw = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
        if raw < 0 { throw SystemError(call: "open \(path)", code: errno) }
        return Descriptor(adopting: raw)
    }

    /// The machine's memory, or what this control group may use of it.
    static func memoryBytes() -> Int {
        let physical = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
        let group = read("/sys/fs/cgroup/memory.max").flatMap { Int($0.prefix { $0.isNumber }) }
        return min(physical, group ?? physical)
    }
}
