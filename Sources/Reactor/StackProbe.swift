import CSystem
import Glibc
import Synchronization

/// A thread and where its stack lies, for a ``StackProbe``.
struct ProbedThread: Equatable, Sendable {
    let id: CInt
    let stack: Range<UInt>

    /// The calling thread, which lets a ``StackProbe`` interrupt it from here on; `nil` where its stack's
    /// place is not known.
    static func current() -> ProbedThread? {
        // It has its mask from whoever started it, and threads of libdispatch have blocked all signals.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGURG)
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
        var attributes = pthread_attr_t()
        guard pthread_getattr_np(pthread_self(), &attributes) == 0 else { return nil }
        defer { pthread_attr_destroy(&attributes) }
        var lowest: UnsafeMutableRawPointer?
        var bytes = 0
        guard pthread_attr_getstack(&attributes, &lowest, &bytes) == 0, let lowest else { return nil }
        let start = UInt(bitPattern: lowest)
        return ProbedThread(id: csystem_thread_id(), stack: start..<start + UInt(bytes))
    }
}

/// Takes pictures of other threads' stacks, one at a time in the process.
///
/// The thread is interrupted by SIGURG, which nothing else here uses and which does nothing where it is not
/// expected. The handler copies its registers and the top of its stack into memory that was set aside before;
/// what they mean is found out afterwards and elsewhere. Calls that a signal ends early in spite of
/// SA_RESTART (signal(7): epoll_wait, poll, nanosleep) return EINTR to the interrupted code.
enum StackProbe {
    private static let wordsMax = 8_192

    private enum State {
        static let idle = 0
        static let asked = 1
        static let taking = 2
        static let taken = 3
    }

    /// What the handler works with; never freed.
    private final class Desk: @unchecked Sendable {
        // Soundness of @unchecked: who owns the registers and the words, `state` says.
        let state = Atomic<Int>(State.idle)
        let thread = Atomic<CInt>(0)
        let lowest = Atomic<UInt>(0)
        let end = Atomic<UInt>(0)
        let words = UnsafeMutablePointer<UInt>.allocate(capacity: StackProbe.wordsMax)
        var count = 0
        var registers = csystem_registers()
        /// Tells that the words are there.
        let done: Descriptor

        init() throws(SystemError) {
            done = Descriptor(
                adopting: try systemCall("eventfd") { eventfd(0, CInt(EFD_NONBLOCK) | CInt(EFD_CLOEXEC)) }
            )
        }

        /// In the handler: only what signal-safety(7) allows, and no memory but this.
        func take(_ context: UnsafeMutableRawPointer?) {
            guard thread.load(ordering: .relaxed) == csystem_thread_id(),
                state.compareExchange(
                    expected: State.asked,
                    desired: State.taking,
                    ordering: .acquiringAndReleasing
                ).exchanged
            else { return }
            registers = csystem_registers(context)
            let (stack, end) = (UInt(registers.stack), end.load(ordering: .relaxed))
            count = 0
            // Another stack than the thread's own, a signal's for one, has an end that is not known.
            if stack >= lowest.load(ordering: .relaxed), stack < end,
                let from = UnsafePointer<UInt>(bitPattern: stack)
            {
                count = min(StackProbe.wordsMax, Int(end - stack) / MemoryLayout<UInt>.size)
                csystem_copy_words(words, from, UInt(count))
            }
            state.store(State.taken, ordering: .releasing)
            var one: UInt64 = 1
            _ = write(done.raw, &one, MemoryLayout<UInt64>.size)
        }
    }

    /// Made, with its handler, before the first signal is sent.
    private static let desk: Desk? = {
        // Without a descriptor there are no pictures.
        guard let desk = try? Desk() else { return nil }
        var action = sigaction()
        action.sa_flags = SA_SIGINFO | SA_RESTART
        action.__sigaction_handler.sa_sigaction = { _, _, context in
            let code = errno
            StackProbe.desk?.take(context)
            errno = code
        }
        return sigaction(SIGURG, &action, nil) == 0 ? desk : nil
    }()

    private static let turn = Mutex<Void>(())

    /// A picture of that thread's stack; `nil` when the thread is gone or does not take the signal by
    /// `deadline`, as one that the kernel keeps waiting for a disk.
    static func picture(of thread: ProbedThread, deadline: Deadline) -> StackPicture? {
        guard let desk else { return nil }
        return turn.withLock { _ in
            desk.thread.store(thread.id, ordering: .relaxed)
            desk.lowest.store(thread.stack.lowerBound, ordering: .relaxed)
            desk.end.store(thread.stack.upperBound, ordering: .relaxed)
            desk.state.store(State.asked, ordering: .releasing)
            defer { desk.state.store(State.idle, ordering: .releasing) }
            guard csystem_signal_thread(thread.id, SIGURG) == 0, wait(for: desk, until: deadline) else {
                return nil
            }
            return StackPicture(
                instruction: desk.registers.instruction,
                stackPointer: desk.registers.stack,
                framePointer: desk.registers.frame,
                words: Array(UnsafeBufferPointer(start: desk.words, count: desk.count))
            )
        }
    }

    /// Waits until the picture has been taken; `false` when it was not begun by the deadline, and then it
    /// will not be.
    private static func wait(for desk: Desk, until deadline: Deadline) -> Bool {
        while desk.state.load(ordering: .acquiring) != State.taken {
            if Deadline.now() >= deadline,
                desk.state.compareExchange(
                    expected: State.asked,
                    desired: State.idle,
                    ordering: .acquiringAndReleasing
                ).exchanged
            {
                return false
            }
            var waiting = pollfd(fd: desk.done.raw, events: Int16(POLLIN), revents: 0)
            // One that has begun takes microseconds, and it has the memory meanwhile.
            _ = poll(&waiting, 1, 1)
        }
        var counter: eventfd_t = 0
        _ = eventfd_read(desk.done.raw, &counter)
        return true
    }
}
