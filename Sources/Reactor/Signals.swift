import CSystem
import Glibc

/// Signals as something to wait for, in place of handlers (signalfd(2)).
package final class Signals: @unchecked Sendable {
    // Soundness of @unchecked: touched on the loop's thread alone.
    private let stream: ByteStream
    private var buffer = ReadBuffer(capacity: MemoryLayout<signalfd_siginfo>.size)

    /// Blocks `signals` in the calling thread and those that it starts; first thing in a program.
    ///
    /// A thread that existed before would still be interrupted by them.
    package static func block(_ signals: [CInt]) {
        var set = mask(of: signals)
        _ = pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Receives `signals`, which ``block(_:)`` has blocked. On the loop.
    package init(_ signals: [CInt], on loop: EventLoop) throws(SystemError) {
        var set = Self.mask(of: signals)
        let flags = CInt(SFD_NONBLOCK) | CInt(SFD_CLOEXEC)
        let descriptor = Descriptor(adopting: try systemCall("signalfd") { signalfd(-1, &set, flags) })
        stream = try ByteStream(descriptor, on: loop)
    }

    /// The next signal; `nil` after ``close()``.
    package func next() async -> CInt? {
        let size = MemoryLayout<signalfd_siginfo>.size
        // The kernel writes whole records only (signalfd(2)), so the count needs no second look.
        guard let count = try? await stream.read(into: &buffer, atMost: size, deadline: .never), count == size
        else { return nil }
        let info = buffer.bytes.withUnsafeBytes { $0.loadUnaligned(as: signalfd_siginfo.self) }
        buffer.removeAll()
        return CInt(info.ssi_signo)
    }

    package func close() {
        stream.close()
    }

    private static func mask(of signals: [CInt]) -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        return set
    }
}
