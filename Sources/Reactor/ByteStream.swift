import CSystem
import Glibc

/// What one nonblocking read produced.
package enum ReadOutcome: Equatable, Sendable {
    case bytes(Int)
    case endOfStream
    case wouldBlock
}

/// Why a stream gave up.
package enum StreamError: Error, Equatable, Sendable {
    /// The deadline passed first.
    case timedOut
    /// This side closed the stream while the call waited, or before it.
    case closed
    case system(SystemError)
}

/// A nonblocking socket or pipe end on its loop.
///
/// Registered once, edge-triggered: readiness is remembered here, so that neither a read nor a wait needs a
/// system call of its own. All calls are made on the loop (asserted). At most one task reads and one writes
/// at a time. Cancelling a task does not end its wait; ``close()`` does, and the deadline does.
package final class ByteStream: @unchecked Sendable {
    // Soundness of @unchecked: everything but `loop` is touched on the loop's thread alone.
    package let loop: EventLoop
    private var descriptor: Descriptor?
    private let watch: Watch
    /// A socket's own calls are cheaper than those of files.
    private let isSocket: Bool

    /// Takes over `descriptor`, makes it nonblocking and registers it.
    ///
    /// On the loop.
    ///
    /// - Throws: ``SystemError`` when the kernel refuses; the descriptor is closed then.
    package convenience init(_ descriptor: consuming Descriptor, on loop: EventLoop) throws(SystemError) {
        try self.init(descriptor, on: loop, isSocket: false)
    }

    init(
        _ descriptor: consuming Descriptor,
        on loop: EventLoop,
        isSocket: Bool,
        isConnecting: Bool = false
    ) throws(SystemError) {
        self.isSocket = isSocket
        try descriptor.makeNonblocking()
        let events = EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue
        watch = try loop.register(descriptor.raw, events: events)
        self.descriptor = consume descriptor
        self.loop = loop
        if isConnecting { watch.isWritable = false }
    }

    /// Waits for the end of a connect(2) under way and reports how it ended.
    func untilConnected(deadline: Deadline) async throws(StreamError) {
        try await untilWritable(deadline: deadline)
        var code: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        _ = getsockopt(watch.raw, SOL_SOCKET, SO_ERROR, &code, &length)
        if code != 0 { throw .system(SystemError(call: "connect", code: code)) }
    }

    deinit {
        // A stream that is dropped unclosed would leave its watch behind in the loop's table.
        assert(descriptor == nil, "a stream is closed before it is let go")
    }

    package var isClosed: Bool { descriptor == nil }

    /// Whether a read may find something, as far as is known without asking the kernel.
    package var isReadable: Bool { watch.isReadable }

    /// Reads what is there, `atMost` bytes, without waiting.
    package func tryRead(
        into buffer: inout ReadBuffer,
        atMost: Int
    ) throws(StreamError) -> ReadOutcome {
        assert(loop.isCurrent)
        guard descriptor != nil else { throw .closed }
        guard watch.isReadable else { return .wouldBlock }
        let (raw, isSocket) = (watch.raw, isSocket)
        let count = buffer.fill(atMost: atMost) { room in
            while true {
                let count =
                    isSocket
                    ? recv(raw, room.baseAddress, room.count, 0)
                    : Glibc.read(raw, room.baseAddress, room.count)
                if count >= 0 || errno != EINTR { return count }
            }
        }
        if count > 0 {
            // Less than asked for: the kernel has nothing more now and will say so when it has. Saves an
            // EAGAIN.
            if count < atMost, !watch.hasReadEnd { watch.isReadable = false }
            return .bytes(count)
        }
        if count == 0 { return .endOfStream }
        let code = errno
        guard code == EAGAIN else { throw .system(SystemError(call: "read", code: code)) }
        watch.isReadable = false
        return .wouldBlock
    }

    /// Reads at least one byte and at most `atMost`, waiting for them; 0 is the end of the stream.
    package func read(
        into buffer: inout ReadBuffer,
        atMost: Int,
        deadline: Deadline
    ) async throws(StreamError) -> Int {
        while true {
            switch try tryRead(into: &buffer, atMost: atMost) {
            case .bytes(let count): return count
            case .endOfStream: return 0
            case .wouldBlock: try await untilReadable(deadline: deadline)
            }
        }
    }

    /// Writes what the kernel takes of `bytes` from `offset` on; 0 when it takes nothing now.
    package func tryWrite(_ bytes: [UInt8], from offset: Int = 0) throws(StreamError) -> Int {
        assert(loop.isCurrent)
        guard descriptor != nil else { throw .closed }
        guard watch.isWritable else { return 0 }
        let (raw, isSocket) = (watch.raw, isSocket)
        let count = bytes.withUnsafeBytes { all in
            let rest = UnsafeRawBufferPointer(rebasing: all[offset...])
            while true {
                let count =
                    isSocket
                    ? send(raw, rest.baseAddress, rest.count, 0)
                    : Glibc.write(raw, rest.baseAddress, rest.count)
                if count >= 0 || errno != EINTR { return count }
            }
        }
        if count >= 0 {
            if count < bytes.count - offset, !watch.hasFailed { watch.isWritable = false }
            return count
        }
        let code = errno
        guard code == EAGAIN else { throw .system(SystemError(call: "write", code: code)) }
        watch.isWritable = false
        return 0
    }

    /// Writes all of `bytes`, waiting for room until `deadline`.
    package func write(_ bytes: [UInt8], deadline: Deadline) async throws(StreamError) {
        var written = 0
        while written < bytes.count {
            written += try tryWrite(bytes, from: written)
            if written < bytes.count { try await untilWritable(deadline: deadline) }
        }
    }

    /// Returns once a read would not wait, or ``wakeReader()`` has been called since the last one.
    package func untilReadable(deadline: Deadline) async throws(StreamError) {
        assert(loop.isCurrent)
        guard descriptor != nil else { throw .closed }
        if watch.isReadable { return }
        let wait = CountedWait(for: "bytes to read")
        defer { wait.end() }
        try Self.check(
            await withUnsafeContinuation { continuation in
                // Suspending may let the loop turn before this runs, so the question is asked again.
                if isClosed || watch.isReadable {
                    continuation.resume(returning: isClosed ? .closed : .ready)
                    return
                }
                precondition(watch.reader == nil, "one task reads a stream at a time")
                watch.reader = .task(continuation, deadline: deadline)
                loop.noteDeadline(of: watch)
            }
        )
    }

    /// Calls `body` once, on the loop: when a read would not wait, at `deadline`, or when the stream closes.
    ///
    /// What waits so holds no task and none of its stack.
    package func whenReadable(deadline: Deadline, _ body: @escaping () -> Void) {
        assert(loop.isCurrent)
        if isClosed || watch.isReadable { return body() }
        precondition(watch.reader == nil, "one task reads a stream at a time")
        watch.reader = .call({ _ in body() }, deadline: deadline)
        loop.noteDeadline(of: watch)
    }

    /// Has whoever waits to read ask the kernel now.
    package func wakeReader() {
        assert(loop.isCurrent)
        guard descriptor != nil else { return }
        watch.isReadable = true
        watch.finishReader(.ready)
    }

    /// Returns once a write would not wait.
    package func untilWritable(deadline: Deadline) async throws(StreamError) {
        assert(loop.isCurrent)
        guard descriptor != nil else { throw .closed }
        if watch.isWritable { return }
        let wait = CountedWait(for: "room to write")
        defer { wait.end() }
        try Self.check(
            await withUnsafeContinuation { continuation in
                if isClosed || watch.isWritable {
                    continuation.resume(returning: isClosed ? .closed : .ready)
                    return
                }
                precondition(watch.writer == nil, "one task writes a stream at a time")
                watch.writer = .task(continuation, deadline: deadline)
                loop.noteDeadline(of: watch)
            }
        )
    }

    private static func check(_ outcome: WaitOutcome) throws(StreamError) {
        switch outcome {
        case .ready: return
        case .timedOut: throw .timedOut
        case .closed: throw .closed
        }
    }

    /// Tells the peer that no more will be written; sockets only.
    package func shutdownWrites() {
        assert(loop.isCurrent)
        if descriptor != nil { _ = shutdown(watch.raw, CInt(SHUT_WR)) }
    }

    /// Closes the descriptor and resumes whoever waits with ``StreamError/closed``; again is nothing.
    package func close() {
        assert(loop.isCurrent)
        guard descriptor != nil else { return }
        loop.unregister(watch)
        descriptor = nil
    }
}
