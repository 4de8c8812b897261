import CSystem
import Glibc

/// A file, a pipe or standard input, read from its beginning with calls that wait: for what has a thread of
/// its own, and for files of /proc, which never make anybody wait.
package struct FileReader: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Opens the file at `path`.
    package init(path: String) throws(SystemError) {
        let opened = Descriptor(adopting: try systemCall("open") { open(path, O_RDONLY | O_CLOEXEC) })
        // open(2) takes a folder, too; what it cannot be read with would be said by the first read only.
        let raw = opened.raw
        var status = stat()
        try systemCall("fstat") { fstat(raw, &status) }
        if status.st_mode & S_IFMT == S_IFDIR { throw SystemError(call: "open", code: EISDIR) }
        descriptor = consume opened
    }

    private init(_ descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }

    /// Standard input, which stays open when the reader goes.
    package static func standardInput() throws(SystemError) -> FileReader {
        FileReader(Descriptor(adopting: try systemCall("fcntl") { csystem_fcntl(0, F_DUPFD_CLOEXEC, 3) }))
    }

    /// Appends at least one byte and at most `atMost` to `buffer`, waiting for them.
    ///
    /// - Returns: How many; 0 at the end of the file.
    package mutating func read(into buffer: inout ReadBuffer, atMost: Int) throws(SystemError) -> Int {
        let raw = descriptor.raw
        let count = buffer.fill(atMost: atMost) { room in
            while true {
                let count = Glibc.read(raw, room.baseAddress, room.count)
                if count >= 0 || errno != EINTR { return count }
            }
        }
        if count < 0 { throw SystemError(call: "read", code: errno) }
        return count
    }

    /// Waits until a read would not wait, or until `deadline`; at the end of the file it does not wait
    /// either.
    ///
    /// Regular files are always ready (poll(2)).
    package borrowing func isReadable(by deadline: Deadline) throws(SystemError) -> Bool {
        while true {
            let left = deadline.duration(since: .now()).components
            // Rounded up, and a minute at most in one call: the loop looks again.
            let fraction = (left.attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
            let milliseconds = min(left.seconds, 60) * 1_000 + fraction
            var entry = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
            let count = poll(&entry, 1, CInt(milliseconds))
            if count > 0 { return true }
            let code = errno
            if count < 0, code != EINTR { throw SystemError(call: "poll", code: code) }
            if deadline <= .now() { return false }
        }
    }

    /// All that is left, `bytesMax` at most; what is longer is refused with `EFBIG`.
    package mutating func readAll(bytesMax: Int) throws(SystemError) -> [UInt8] {
        var buffer = ReadBuffer(capacity: min(bytesMax + 1, 4_096))
        while buffer.count <= bytesMax {
            let room = min(bytesMax + 1 - buffer.count, 65_536)
            if try read(into: &buffer, atMost: room) == 0 { return Array(buffer.bytes[buffer.readable]) }
        }
        throw SystemError(call: "read", code: EFBIG)
    }
}
