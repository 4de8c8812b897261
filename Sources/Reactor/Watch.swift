import CSystem

/// How a wait on a descriptor ended.
enum WaitOutcome: Sendable {
    case ready
    case timedOut
    case closed
}

/// What the loop knows of one registered descriptor: whether it is ready and who waits for it.
///
/// Confined to its loop's thread, like everything it is reached through.
final class Watch {
    let raw: CInt
    /// Tells this registration from an earlier one of the same number, whose events may still be on their
    /// way.
    let generation: UInt32
    var isReadable = true
    var isWritable = true
    /// Whether the kernel has announced the end of what can be read, which it does once: a read that takes
    /// all there is must not wait for another announcement.
    var hasReadEnd = false
    /// The same of writing: the next write will fail.
    var hasFailed = false
    var reader: Waiter?
    var writer: Waiter?
    /// When the timer queue will look at this watch; `nil` when it holds no entry for it.
    var wakesAt: Deadline?
    /// Called for every event in place of the waiters, where set.
    var onEvent: ((Watch) -> Void)?

    /// Who is told once that the wait is over.
    enum Waiter {
        case task(UnsafeContinuation<WaitOutcome, Never>, deadline: Deadline)
        /// For waits that are to cost less memory than a task does.
        case call((WaitOutcome) -> Void, deadline: Deadline)

        var deadline: Deadline {
            switch self {
            case .task(_, let deadline), .call(_, let deadline): deadline
            }
        }

        func resume(_ outcome: WaitOutcome) {
            switch self {
            case .task(let continuation, _): continuation.resume(returning: outcome)
            case .call(let body, _): body(outcome)
            }
        }
    }

    init(raw: CInt, generation: UInt32) {
        self.raw = raw
        self.generation = generation
    }

    var token: UInt64 { UInt64(generation) << 32 | UInt64(UInt32(bitPattern: raw)) }

    /// Takes in an event: errors and hang-ups make both directions ready, so that the next call meets them.
    func receive(_ events: UInt32) {
        if events & ~EPOLLOUT.rawValue != 0 { isReadable = true }
        if events & ~(EPOLLIN.rawValue | EPOLLRDHUP.rawValue) != 0 { isWritable = true }
        if events & (EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 { hasReadEnd = true }
        if events & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 { hasFailed = true }
        if let onEvent {
            onEvent(self)
            return
        }
        if isReadable { finishReader(.ready) }
        if isWritable { finishWriter(.ready) }
    }

    func finishReader(_ outcome: WaitOutcome) {
        guard let waiter = reader else { return }
        reader = nil
        waiter.resume(outcome)
    }

    func finishWriter(_ outcome: WaitOutcome) {
        guard let waiter = writer else { return }
        writer = nil
        waiter.resume(outcome)
    }

    /// The earliest deadline that anybody waits with.
    var earliestDeadline: Deadline? {
        switch (reader?.deadline, writer?.deadline) {
        case (let read?, let write?): min(read, write)
        case (let read?, nil): read
        case (nil, let write?): write
        case (nil, nil): nil
        }
    }
}
