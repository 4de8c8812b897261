import CSystem
import Glibc
import Synchronization

/// Signals as something to wait for.
///
/// One value a process.
///
/// A handler writes each signal's number into a pipe. Blocking them for signalfd(2) would be neater, but the
/// runtime's main thread waits in sigsuspend(2) with nothing blocked, and takes what every other thread
/// leaves pending.
package final class Signals: @unchecked Sendable {
    // Soundness of @unchecked: touched on the loop's thread alone.
    private let stream: ByteStream
    private let writeEnd: Descriptor
    private var buffer = ReadBuffer(capacity: 64)

    /// The pipe's write end, for the handler, which can capture nothing; -1 while nobody receives.
    private static let handlerDescriptor = Atomic<CInt>(-1)

    /// Receives `signals` instead of what they did before.
    ///
    /// On the loop.
    ///
    /// - Throws: ``SystemError`` when there is no descriptor left.
    package init(_ signals: [CInt], on loop: EventLoop) throws(SystemError) {
        let pipe = try Pipe()
        try pipe.write.makeNonblocking()
        stream = try ByteStream(pipe.read, on: loop)
        writeEnd = pipe.write
        let (claimed, _) = Self.handlerDescriptor.compareExchange(
            expected: -1,
            desired: writeEnd.raw,
            ordering: .sequentiallyConsistent
        )
        precondition(claimed, "one value a process receives signals")
        for signal in signals { install(signal) }
    }

    private func install(_ number: CInt) {
        _ = signal(number) { number in
            // Only what signal-safety(7) allows: one write, errno as it was. A full pipe holds news enough.
            let code = errno
            var byte = UInt8(truncatingIfNeeded: number)
            _ = write(Signals.handlerDescriptor.load(ordering: .relaxed), &byte, 1)
            errno = code
        }
    }

    /// The next signal; `nil` after ``close()``.
    package func next() async -> CInt? {
        if buffer.isEmpty {
            // The pipe ends with this value only, so an error is as final as its end.
            guard let count = try? await stream.read(into: &buffer, atMost: 64, deadline: .never), count > 0
            else { return nil }
        }
        let number = buffer.bytes[buffer.readable.lowerBound]
        buffer.consume(1)
        return CInt(number)
    }

    package func close() {
        stream.close()
    }
}
