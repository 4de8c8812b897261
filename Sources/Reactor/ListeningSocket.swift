import CSystem
import Glibc

/// A bound socket that listens, not yet on any loop.
package struct ListeningSocket: ~Copyable, Sendable {
    let descriptor: Descriptor
    /// Where it listens, with the port that the kernel has chosen if 0 was asked for.
    package let address: SocketAddress
    /// The name of a Unix socket; `nil` for others, and for a duplicate.
    let file: SocketFile?

    /// Binds to a TCP port and listens.
    ///
    /// With `reusePort` one socket a loop shares the port, and the kernel spreads connections among them
    /// (socket(7)). `backlog` connections may wait to be accepted; the kernel caps it at
    /// `net.core.somaxconn`.
    ///
    /// - Throws: ``SystemError``, `EADDRINUSE` and `EACCES` among them.
    package init(host: String, port: UInt16, reusePort: Bool, backlog: CInt) throws(SystemError) {
        let target = try resolve(host: host, port: port)
        let opened = try openStreamSocket(family: CInt(target.storage.ss_family))
        let raw = opened.raw
        try setSocketOption(SO_REUSEADDR, level: SOL_SOCKET, of: raw)
        if reusePort { try setSocketOption(SO_REUSEPORT, level: SOL_SOCKET, of: raw) }
        var storage = target.storage
        try systemCall("bind") { withSocketAddress(&storage) { bind(raw, $0, target.length) } }
        try systemCall("listen") { listen(raw, backlog) }
        var bound = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        try systemCall("getsockname") { withSocketAddress(&bound) { getsockname(raw, $0, &length) } }
        address = SocketAddress(bound)
        descriptor = opened
        file = nil
    }

    /// Binds to a path and listens (unix(7)); the service's user and group may connect.
    ///
    /// The name of a socket that nobody answers on any more is taken over. The name is removed when the
    /// listener made of this closes.
    ///
    /// - Throws: ``SystemError``: `EADDRINUSE` when somebody answers there, or the path is something else;
    ///   `ENAMETOOLONG` above ``SocketAddress/pathBytesMax``.
    package init(path: String, backlog: CInt) throws(SystemError) {
        let target = try unixAddress(path)
        let opened = try openStreamSocket(family: AF_UNIX)
        let raw = opened.raw
        // The name gets these rights less the umask, so that nobody else comes in before chmod(2) below.
        try systemCall("fchmod") { fchmod(raw, SocketFile.mode) }
        let file = try SocketFile.bind(raw, to: path, target)
        do throws(SystemError) {
            try systemCall("chmod") { chmod(path, SocketFile.mode) }
            try systemCall("listen") { listen(raw, backlog) }
        } catch {
            file.remove()
            throw error
        }
        address = .local
        descriptor = opened
        self.file = file
    }

    /// Another descriptor of the socket that `raw` is one of.
    init(duplicating raw: CInt, at address: SocketAddress) throws(SystemError) {
        descriptor = Descriptor(adopting: try systemCall("fcntl") { fcntl(raw, F_DUPFD_CLOEXEC, 0) })
        self.address = address
        file = nil
    }
}

/// The name of a Unix socket that this process has made.
struct SocketFile: Sendable {
    private let path: String
    private let device: UInt64
    private let number: UInt64

    static let mode: mode_t = 0o660

    /// Binds `raw`, in place of a socket that nobody answers on.
    ///
    /// Of two services that start on one path at the same moment the later one gets the name; neither removes
    /// the other's.
    fileprivate static func bind(
        _ raw: CInt,
        to path: String,
        _ target: (storage: sockaddr_storage, length: socklen_t)
    ) throws(SystemError) -> SocketFile {
        var storage = target.storage
        do throws(SystemError) {
            try systemCall("bind") { withSocketAddress(&storage) { Glibc.bind(raw, $0, target.length) } }
        } catch {
            guard error.code == EADDRINUSE, isStale(path, target) else { throw error }
            unlink(path)
            try systemCall("bind") { withSocketAddress(&storage) { Glibc.bind(raw, $0, target.length) } }
        }
        var status = stat()
        try systemCall("lstat") { lstat(path, &status) }
        return SocketFile(path: path, device: UInt64(status.st_dev), number: UInt64(status.st_ino))
    }

    /// Whether there is a socket of that name which refuses connections: its process is gone.
    private static func isStale(
        _ path: String,
        _ target: (storage: sockaddr_storage, length: socklen_t)
    ) -> Bool {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return false }
        guard let probe = try? openStreamSocket(family: AF_UNIX) else { return false }
        var storage = target.storage
        let raw = probe.raw
        // A queue that is full is EAGAIN: somebody listens.
        let result = withSocketAddress(&storage) { connect(raw, $0, target.length) }
        return result == -1 && errno == ECONNREFUSED
    }

    /// Removes the name, unless it has become another's.
    func remove() {
        var status = stat()
        guard lstat(path, &status) == 0, UInt64(status.st_dev) == device, UInt64(status.st_ino) == number
        else { return }
        unlink(path)
    }
}

extension SocketAddress {
    /// Bytes of a Unix socket's path: `sun_path` less its end (unix(7)).
    package static let pathBytesMax = 107
}

/// - Throws: ``SystemError`` with `ENAMETOOLONG` for a path that does not fit, `EINVAL` for one that is none.
func unixAddress(_ path: String) throws(SystemError) -> (storage: sockaddr_storage, length: socklen_t) {
    let bytes = Array(path.utf8)
    guard bytes.count <= SocketAddress.pathBytesMax else {
        throw SystemError(call: "bind", code: ENAMETOOLONG)
    }
    guard !bytes.isEmpty, !bytes.contains(0) else { throw SystemError(call: "bind", code: EINVAL) }
    var storage = sockaddr_storage()
    storage.ss_family = sa_family_t(AF_UNIX)
    let start = MemoryLayout<sa_family_t>.size
    withUnsafeMutableBytes(of: &storage) { raw in
        for (index, byte) in bytes.enumerated() { raw[start + index] = byte }
    }
    return (storage, socklen_t(start + bytes.count + 1))
}

/// A nonblocking stream socket that children do not inherit.
func openStreamSocket(family: CInt) throws(SystemError) -> Descriptor {
    let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
    return Descriptor(adopting: try systemCall("socket") { socket(family, type, 0) })
}

/// Switches an option on.
func setSocketOption(_ option: CInt, level: CInt, of raw: CInt) throws(SystemError) {
    var on: CInt = 1
    try systemCall("setsockopt") {
        setsockopt(raw, level, option, &on, socklen_t(MemoryLayout<CInt>.size))
    }
}
