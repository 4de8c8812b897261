import CSystem
import Glibc

/// One open file descriptor, closed exactly once.
///
/// Whoever holds the value owns the descriptor: lend it with `borrowing`, hand it over with `consuming`; the
/// compiler rejects a second owner.
package struct Descriptor: ~Copyable, Sendable {
    package let raw: CInt

    /// Takes ownership of `raw`, which the kernel has just returned.
    package init(adopting raw: CInt) {
        precondition(raw >= 0, "the kernel never hands out a negative descriptor")
        self.raw = raw
    }

    deinit {
        // close(2) must not be retried: Linux frees the number even on EINTR.
        _ = close(raw)
    }

    /// Makes reads and writes return at once when they would have to wait.
    package borrowing func makeNonblocking() throws(SystemError) {
        let number = raw
        let flags = try systemCall("fcntl") { csystem_fcntl(number, F_GETFL, 0) }
        try systemCall("fcntl") { csystem_fcntl(number, F_SETFL, flags | O_NONBLOCK) }
    }

    /// Asks the kernel for room for `bytes` in this pipe; a refusal (the system's limit) leaves it as it was.
    package borrowing func requestPipeCapacity(bytes: Int) {
        _ = csystem_set_pipe_capacity(raw, CInt(bytes))
    }
}

/// The two ends of a pipe, both close-on-exec and blocking.
package struct Pipe: ~Copyable, Sendable {
    package let read: Descriptor
    package let write: Descriptor

    /// Opens a pipe.
    package init() throws(SystemError) {
        var ends: [CInt] = [-1, -1]
        try systemCall("pipe2") { pipe2(&ends, O_CLOEXEC) }
        read = Descriptor(adopting: ends[0])
        write = Descriptor(adopting: ends[1])
    }

    /// Splits the pipe between two owners.
    package consuming func split(_ body: (consuming Descriptor, consuming Descriptor) throws -> Void) rethrows
    {
        try body(read, write)
    }
}
