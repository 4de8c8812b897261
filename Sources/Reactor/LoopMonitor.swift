import CSystem
import Glibc
import Synchronization

/// What a loop does just now, for its monitor to look at from another thread.
final class LoopActivity: Sendable {
    /// When the turn under way began; 0 while the loop waits for the kernel.
    private let began = Atomic<UInt64>(0)
    private let label = Atomic<Int>(0)

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
}

/// A thread that looks at loops from outside and tells of turns that do not end.
package final class LoopMonitor: @unchecked Sendable {
    // Soundness of @unchecked: `thread` is written before the thread can end and read only by stop(); all
    // else is constant or synchronized.
    private let loops: [EventLoop]
    private let limit: Duration
    private let report: @Sendable (LoopStall) -> Void
    private let wake: Descriptor
    private let isStopping = Atomic<Bool>(false)
    private var thread = pthread_t()

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
        let context = Unmanaged.passRetained(self)
        let code = pthread_create(
            &thread,
            nil,
            { context in
                guard let context else { return nil }
                Unmanaged<LoopMonitor>.fromOpaque(context).takeRetainedValue().run()
                return nil
            },
            context.toOpaque()
        )
        if code != 0 {
            context.release()
            throw SystemError(call: "pthread_create", code: code)
        }
        _ = csystem_set_thread_name(thread, "loop-monitor")
    }

    /// Ends the thread and waits for it.
    package func stop() {
        if isStopping.exchange(true, ordering: .acquiringAndReleasing) { return }
        _ = eventfd_write(wake.raw, 1)
        _ = pthread_join(thread, nil)
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
                report(LoopStall(loop: index, label: stall.label, lasted: stall.lasted))
            }
        }
    }
}
