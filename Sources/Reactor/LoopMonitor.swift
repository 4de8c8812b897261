import CSystem
import Glibc
import Synchronization

/// What a loop does just now, for its monitor to look at from another thread.
final class LoopActivity: Sendable {
    /// When the turn under way began; 0 while the loop waits for the kernel.
    private let began = Atomic<UInt64>(0)
    private let label = Atomic<Int>(0)
    /// The loop's thread; `nil` before it runs.
    let thread = Mutex<ProbedThread?>(nil)

    func begin(_ now: Deadline) {
        label.store(0, ordering: .relaxed)
        began.store(now.nanoseconds, ordering: .releasing)
    }

    func end() { began.store(0, ordering: .releasing) }

    func set(label: Int) { self.label.store(label, ordering: .relaxed) }

    /// The turn that has been under way for `limit` at least, with the label that was set last.
    func stall(at now: Deadline, limit: Duration) -> (began: UInt64, label: Int, lasted: Duration)? {
        let start = began.load(ordering: .acquiring)
        if start == 0 { return nil }
        let lasted = now.duration(since: Deadline(nanoseconds: start))
        return lasted < limit ? nil : (start, label.load(ordering: .relaxed), lasted)
    }
}

/// A turn of a loop that takes so long that all of its connections wait.
package struct LoopStall: Equatable, Sendable {
    /// The loop's place among those that are monitored.
    package let loop: Int
    /// What the code on the loop has called itself last in this turn; 0 for nothing.
    package let label: Int
    /// So far: the turn is not over yet.
    package let lasted: Duration
    /// The functions under way on the loop's thread, the innermost first; empty when the thread could not be
    /// looked at.
    package let backtrace: [String]
}

/// Says where a thread is.
private enum Backtrace {
    private static let framesMax = 48
    /// How long a thread is given to show its stack; one that runs does so at once.
    private static let patience = Duration.milliseconds(100)

    static func current(of thread: ProbedThread) -> [String] {
        guard let picture = StackProbe.picture(of: thread, deadline: .after(patience)) else { return [] }
        let code = LoadedCode.current()
        return picture.addresses(atMost: framesMax, in: code).enumerated().compactMap { depth, address in
            // A call may be a function's last instruction, so that it returns to the next function's first.
            code.description(of: depth == 0 ? address : address - 1)
        }
    }
}

/// A thread that looks at loops from outside and tells of turns that do not end.
package final class LoopMonitor: Sendable {
    private let loops: [EventLoop]
    private let limit: Duration
    private let report: @Sendable (LoopStall) -> Void
    private let wake: Descriptor
    private let isStopping = Atomic<Bool>(false)
    private let thread = Mutex<SystemThread?>(nil)

    /// Starts to watch `loops`; `report` is called on the monitor's thread, once for each turn that takes
    /// `limit` or longer and each label that it has from then on.
    ///
    /// - Throws: ``SystemError`` when descriptors or threads have run out.
    package init(
        _ loops: [EventLoop],
        limit: Duration = .milliseconds(100),
        report: @escaping @Sendable (LoopStall) -> Void
    ) throws(SystemError) {
        self.loops = loops
        self.limit = limit
        self.report = report
        wake = Descriptor(adopting: try systemCall("eventfd") { eventfd(0, CInt(EFD_CLOEXEC)) })
        let thread = try SystemThread(name: "loop-monitor") { self.run() }
        self.thread.withLock { $0 = thread }
    }

    /// Ends the thread and waits for it.
    package func stop() {
        if isStopping.exchange(true, ordering: .acquiringAndReleasing) { return }
        _ = eventfd_write(wake.raw, 1)
        thread.withLock { $0 }?.join()
    }

    private func run() {
        // Twice in the time of the limit, so that a stall is known after one and a half of it.
        let period = CInt(clamping: max(1, Int64(limit / .milliseconds(2))))
        var reported = [(began: UInt64, label: Int)](repeating: (0, 0), count: loops.count)
        while !isStopping.load(ordering: .acquiring) {
            var waiting = pollfd(fd: wake.raw, events: Int16(POLLIN), revents: 0)
            _ = poll(&waiting, 1, period)
            let now = Deadline.now()
            for (index, loop) in loops.enumerated() {
                guard let stall = loop.activity.stall(at: now, limit: limit),
                    reported[index] != (stall.began, stall.label)
                else { continue }
                reported[index] = (stall.began, stall.label)
                report(
                    LoopStall(
                        loop: index,
                        label: stall.label,
                        lasted: stall.lasted,
                        backtrace: loop.activity.thread.withLock { $0 }.map(Backtrace.current) ?? []
                    )
                )
            }
        }
    }
}
