import CSystem
import Glibc

/// A connection that has just been accepted.
package struct Accepted: Sendable {
    package let stream: ByteStream
    package let peer: SocketAddress
}

/// A listening socket on its loop.
package final class Listener: @unchecked Sendable {
    // Soundness of @unchecked: everything but the constants is touched on the loop's thread alone.
    private let loop: EventLoop
    private var descriptor: Descriptor?
    private let watch: Watch
    private let file: SocketFile?
    /// Where it listens, with the port that the kernel has chosen if 0 was asked for.
    package let address: SocketAddress

    /// Takes over `socket` and accepts on `loop`.
    ///
    /// On the loop.
    ///
    /// - Throws: ``SystemError`` when the kernel refuses to watch it; it is closed then.
    package init(_ socket: consuming ListeningSocket, on loop: EventLoop) throws(SystemError) {
        address = socket.address
        let file = socket.file
        let opened = socket.descriptor
        do throws(SystemError) {
            watch = try loop.register(opened.raw, events: EPOLLIN.rawValue | EPOLLET.rawValue)
        } catch {
            file?.remove()
            throw error
        }
        self.file = file
        descriptor = consume opened
        self.loop = loop
    }

    deinit {
        assert(descriptor == nil, "a listener is closed before it is let go")
    }

    /// The same socket for another loop: whichever is first accepts a connection.
    package func duplicate() throws(SystemError) -> ListeningSocket {
        assert(loop.isCurrent)
        return try ListeningSocket(duplicating: watch.raw, at: address)
    }

    /// Waits for a connection and accepts it.
    ///
    /// - Throws: ``StreamError/closed`` after ``close()``; ``StreamError/system(_:)`` when descriptors have
    /// run out
    ///   (``SystemError/isOutOfDescriptors``): pause, then call again.
    package func accept() async throws(StreamError) -> Accepted {
        while true {
            guard descriptor != nil else { throw .closed }
            if let accepted = try tryAccept() { return accepted }
            let outcome: WaitOutcome = await withUnsafeContinuation { continuation in
                // Suspending may let the loop turn before this runs, so the question is asked again.
                if descriptor == nil || watch.isReadable {
                    continuation.resume(returning: descriptor == nil ? .closed : .ready)
                    return
                }
                watch.reader = .task(continuation, deadline: .never)
            }
            if case .closed = outcome { throw .closed }
        }
    }

    private func tryAccept() throws(StreamError) -> Accepted? {
        assert(loop.isCurrent)
        let flags = CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        while watch.isReadable {
            var storage = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let raw = withSocketAddress(&storage) { accept4(watch.raw, $0, &length, flags) }
            if raw >= 0 {
                return try adopt(Descriptor(adopting: raw), from: SocketAddress(storage))
            }
            let code = errno
            switch code {
            case EAGAIN: watch.isReadable = false
            // accept(2): a connection that died in the queue, and network errors that belong to it, not to
            // us.
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH,
                EOPNOTSUPP,
                ENETUNREACH:
                continue
            default: throw .system(SystemError(call: "accept4", code: code))
            }
        }
        return nil
    }

    private func adopt(
        _ descriptor: consuming Descriptor,
        from peer: SocketAddress
    ) throws(StreamError) -> Accepted {
        do throws(SystemError) {
            // Answers are written whole; waiting for more (Nagle) would only delay them. Fails for Unix
            // sockets.
            try? setSocketOption(TCP_NODELAY, level: CInt(IPPROTO_TCP), of: descriptor.raw)
            return Accepted(stream: try ByteStream(descriptor, on: loop, isSocket: true), peer: peer)
        } catch {
            throw .system(error)
        }
    }

    /// Stops listening; connections not yet accepted are reset, and a Unix socket's name is gone.
    ///
    /// Again is nothing.
    package func close() {
        assert(loop.isCurrent)
        guard descriptor != nil else { return }
        file?.remove()
        loop.unregister(watch)
        descriptor = nil
    }
}

extension ByteStream {
    /// Opens a TCP connection.
    ///
    /// On `loop`; the name is resolved synchronously, so pass an address where it matters.
    package static func connect(
        host: String,
        port: UInt16,
        on loop: EventLoop,
        deadline: Deadline
    ) async throws(StreamError) -> ByteStream {
        try await connected(deadline) { () throws(SystemError) in
            try startConnecting(to: resolve(host: host, port: port), on: loop)
        }
    }

    /// Connects to a Unix socket, on `loop`.
    package static func connect(
        path: String,
        on loop: EventLoop,
        deadline: Deadline
    ) async throws(StreamError) -> ByteStream {
        try await connected(deadline) { () throws(SystemError) in
            try startConnecting(to: unixAddress(path), on: loop)
        }
    }

    private static func connected(
        _ deadline: Deadline,
        _ start: () throws(SystemError) -> ByteStream
    ) async throws(StreamError) -> ByteStream {
        let stream: ByteStream
        do throws(SystemError) { stream = try start() } catch { throw .system(error) }
        do throws(StreamError) {
            try await stream.untilConnected(deadline: deadline)
        } catch {
            stream.close()
            throw error
        }
        return stream
    }

    private static func startConnecting(
        to target: (storage: sockaddr_storage, length: socklen_t),
        on loop: EventLoop
    ) throws(SystemError) -> ByteStream {
        let family = CInt(target.storage.ss_family)
        let opened = try openStreamSocket(family: family)
        let raw = opened.raw
        // A request's second part would wait for the first to be acknowledged, which takes up to 40 ms.
        if family != AF_UNIX { try? setSocketOption(TCP_NODELAY, level: CInt(IPPROTO_TCP), of: raw) }
        var storage = target.storage
        let result = withSocketAddress(&storage) { Glibc.connect(raw, $0, target.length) }
        if result == -1, errno != EINPROGRESS { throw SystemError(call: "connect", code: errno) }
        return try ByteStream(opened, on: loop, isSocket: true, isConnecting: true)
    }
}
