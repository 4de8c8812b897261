import CSystem
import Glibc

/// A connection that has just been accepted.
package struct Accepted: Sendable {
    package let stream: ByteStream
    package let peer: SocketAddress
}

/// A listening TCP socket on its loop.
package final class Listener: @unchecked Sendable {
    // Soundness of @unchecked: everything but the constants is touched on the loop's thread alone.
    private let loop: EventLoop
    private var descriptor: Descriptor?
    private let watch: Watch
    /// Where it listens, with the port that the kernel has chosen if 0 was asked for.
    package let address: SocketAddress

    /// Binds and listens.
    ///
    /// On the loop. With `reusePort` one listener a loop shares the port, and the kernel spreads connections
    /// among them (socket(7)). `backlog` connections may wait to be accepted; the kernel caps it at
    /// `net.core.somaxconn`.
    ///
    /// - Throws: ``SystemError``, `EADDRINUSE` and `EACCES` among them.
    package init(
        host: String,
        port: UInt16,
        reusePort: Bool,
        backlog: CInt,
        on loop: EventLoop
    ) throws(SystemError) {
        let target = try resolve(host: host, port: port)
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let opened = Descriptor(
            adopting: try systemCall("socket") { socket(CInt(target.storage.ss_family), type, 0) }
        )
        let raw = opened.raw
        try Self.set(SO_REUSEADDR, level: SOL_SOCKET, of: raw)
        if reusePort { try Self.set(SO_REUSEPORT, level: SOL_SOCKET, of: raw) }
        var storage = target.storage
        try systemCall("bind") { withSocketAddress(&storage) { bind(raw, $0, target.length) } }
        try systemCall("listen") { listen(raw, backlog) }
        var bound = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        try systemCall("getsockname") { withSocketAddress(&bound) { getsockname(raw, $0, &length) } }
        address = SocketAddress(bound)
        watch = try loop.register(raw, events: EPOLLIN.rawValue | EPOLLET.rawValue)
        descriptor = consume opened
        self.loop = loop
    }

    deinit {
        assert(descriptor == nil, "a listener is closed before it is let go")
    }

    fileprivate static func set(_ option: CInt, level: CInt, of raw: CInt) throws(SystemError) {
        var on: CInt = 1
        try systemCall("setsockopt") {
            setsockopt(raw, level, option, &on, socklen_t(MemoryLayout<CInt>.size))
        }
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
            try? Self.set(TCP_NODELAY, level: CInt(IPPROTO_TCP), of: descriptor.raw)
            return Accepted(stream: try ByteStream(descriptor, on: loop, isSocket: true), peer: peer)
        } catch {
            throw .system(error)
        }
    }

    /// Stops listening; connections not yet accepted are reset.
    ///
    /// Again is nothing.
    package func close() {
        assert(loop.isCurrent)
        guard descriptor != nil else { return }
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
        let stream: ByteStream
        do throws(SystemError) { stream = try startConnecting(host: host, port: port, on: loop) } catch {
            throw .system(error)
        }
        do throws(StreamError) {
            try await stream.untilConnected(deadline: deadline)
        } catch {
            stream.close()
            throw error
        }
        return stream
    }

    private static func startConnecting(
        host: String,
        port: UInt16,
        on loop: EventLoop
    ) throws(SystemError) -> ByteStream {
        let target = try resolve(host: host, port: port)
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let opened = Descriptor(
            adopting: try systemCall("socket") { socket(CInt(target.storage.ss_family), type, 0) }
        )
        let raw = opened.raw
        // A request's second part would wait for the first to be acknowledged, which takes up to 40 ms.
        try? Listener.set(TCP_NODELAY, level: CInt(IPPROTO_TCP), of: raw)
        var storage = target.storage
        let result = withSocketAddress(&storage) { Glibc.connect(raw, $0, target.length) }
        if result == -1, errno != EINPROGRESS { throw SystemError(call: "connect", code: errno) }
        return try ByteStream(opened, on: loop, isSocket: true, isConnecting: true)
    }
}
