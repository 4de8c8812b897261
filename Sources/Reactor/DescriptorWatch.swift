import CSystem

/// What a wait is for, or what is ready.
package struct Interest: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let readable = Interest(rawValue: 1)
    package static let writable = Interest(rawValue: 2)
}

/// Waits for a descriptor that somebody else owns, libpq's socket for one.
///
/// Level-triggered and one shot a wait, at the cost of a system call each: a library that reads only part of
/// what is there would miss the edge. All calls on the loop; one waiter at a time.
package final class DescriptorWatch: @unchecked Sendable {
    // Soundness of @unchecked: touched on the loop's thread alone.
    private let loop: EventLoop
    private let watch: Watch
    private var isCancelled = false

    /// Watches `raw`, which must stay open until ``cancel()``.
    ///
    /// On the loop.
    package init(raw: CInt, on loop: EventLoop) throws(SystemError) {
        watch = try loop.register(raw, events: EPOLLONESHOT.rawValue)
        self.loop = loop
        watch.onEvent = nil
    }

    /// Suspends until something of `interest` is ready and returns what is; an error or hang-up counts as
    /// both.
    package func wait(for interest: Interest, deadline: Deadline) async throws(StreamError) -> Interest {
        assert(loop.isCurrent)
        if isCancelled { throw .closed }
        watch.isReadable = false
        watch.isWritable = false
        var events = EPOLLONESHOT.rawValue
        if interest.contains(.readable) { events |= EPOLLIN.rawValue | EPOLLRDHUP.rawValue }
        if interest.contains(.writable) { events |= EPOLLOUT.rawValue }
        do throws(SystemError) { try loop.rearm(watch, events: events) } catch { throw .system(error) }
        switch await untilEvent(deadline: deadline) {
        case .timedOut: throw .timedOut
        case .closed: throw .closed
        case .ready: break
        }
        var ready: Interest = []
        if watch.isReadable { ready.insert(.readable) }
        if watch.isWritable { ready.insert(.writable) }
        return ready
    }

    private func untilEvent(deadline: Deadline) async -> WaitOutcome {
        let wait = CountedWait(for: "a descriptor")
        defer { wait.end() }
        return await withUnsafeContinuation { continuation in
            // Suspending may let the loop turn before this runs: the event may have come.
            if isCancelled || watch.isReadable || watch.isWritable {
                continuation.resume(returning: isCancelled ? .closed : .ready)
                return
            }
            precondition(watch.reader == nil, "one task waits on a watch at a time")
            watch.reader = .task(continuation, deadline: deadline)
            watch.onEvent = { $0.finishReader(.ready) }
            loop.noteDeadline(of: watch)
        }
    }

    /// Ends the watch, before the owner closes the descriptor, and resumes a waiter with
    /// ``StreamError/closed``.
    package func cancel() {
        assert(loop.isCurrent)
        if isCancelled { return }
        isCancelled = true
        loop.unregister(watch)
    }
}
