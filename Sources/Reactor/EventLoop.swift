// Reactor: the machine that everything asynchronous runs on.
//
// An event loop is one thread with one epoll set. It is the serial executor of every actor bound to it and
// the preferred executor of every task that those actors start, so that their code runs on one thread, never
// locks, and a suspension costs less than a microsecond. Descriptors (sockets, pipes, libpq's sockets,
// children's pidfds, signals) and deadlines resume the tasks that wait for them. This target holds the unsafe
// code of system calls; bytes and values come out of it. It knows nothing of HTTP, PostgreSQL or workers.

import CSystem
import DequeModule
import Glibc
import Synchronization

/// One thread, one epoll set, one queue of jobs.
///
/// Both kinds of executor in one: tasks made with `Task(executorPreference: loop)` inside an actor whose
/// executor is the loop run here without any hop. Without the preference they would be checked on the global
/// pool at each step.
package final class EventLoop: SerialExecutor, TaskExecutor, @unchecked Sendable {
    // Soundness of @unchecked: `remote`, `isStopping`, `threadID` and `thread` are synchronized, and all else
    // is touched on the loop's own thread alone.
    private let epoll: Descriptor
    private let wake: Descriptor
    private let remote = Mutex(Remote())
    private let isStopping = Atomic<Bool>(false)
    private let threadID = Atomic<CInt>(0)
    private let thread = Mutex<SystemThread?>(nil)

    private var jobs: [UnownedJob] = []
    private var batch: [UnownedJob] = []
    private var watches: [Watch?] = []
    private var generation: UInt32 = 0
    private var timers = TimerQueue<TimerToken>()
    private var sleepers: [UInt64: UnsafeContinuation<Void, Never>] = [:]
    private var sleepersStarted: UInt64 = 0
    private var turnWaiters: Deque<UnsafeContinuation<Void, Never>> = []

    /// Looked at by a ``LoopMonitor``.
    let activity = LoopActivity()
    private var onTurn: (@Sendable (Duration) -> Void)?

    private struct Remote {
        var jobs: [UnownedJob] = []
        var work: [@Sendable () -> Void] = []
        var isIdle: Bool { jobs.isEmpty && work.isEmpty }
    }

    private enum TimerToken: Equatable, Sendable {
        case watch(UInt64)
        case sleeper(UInt64)
    }

    /// Events taken from the kernel in one call.
    private static let eventsMax = 256
    /// Rounds of jobs between two looks at the kernel, so that tasks that wake each other cannot starve
    /// sockets.
    private static let roundsMax = 32

    /// Starts the loop's thread; `name` (15 bytes at most are kept) shows in `ps -L` and debuggers.
    ///
    /// - Throws: ``SystemError`` when descriptors or threads have run out.
    package convenience init(name: String) throws(SystemError) {
        try self.init()
        let thread = try SystemThread(name: name) { self.run() }
        self.thread.withLock { $0 = thread }
        // Whoever holds a loop may ask it at once which thread it is.
        while threadID.load(ordering: .acquiring) == 0 { sched_yield() }
    }

    /// Makes a loop without a thread, which goes on only as far as a simulation lets it: ``runNextJob()``,
    /// ``expireTimers(at:)``.
    ///
    /// - Throws: ``SystemError`` when descriptors have run out.
    package init() throws(SystemError) {
        // A peer that is gone is an EPIPE of the write, never the end of the process.
        _ = signal(SIGPIPE, SIG_IGN)
        epoll = Descriptor(adopting: try systemCall("epoll_create1") { epoll_create1(CInt(EPOLL_CLOEXEC)) })
        wake = Descriptor(
            adopting: try systemCall("eventfd") { eventfd(0, CInt(EFD_NONBLOCK) | CInt(EFD_CLOEXEC)) }
        )
        var interest = csystem_epoll_event(EPOLLIN.rawValue, Self.wakeToken)
        let (epollRaw, wakeRaw) = (epoll.raw, wake.raw)
        try systemCall("epoll_ctl") { epoll_ctl(epollRaw, EPOLL_CTL_ADD, wakeRaw, &interest) }
    }

    private static let wakeToken = UInt64.max

    // MARK: Executor

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if isCurrent {
            jobs.append(job)
            return
        }
        let wasIdle = remote.withLock { remote in
            defer { remote.jobs.append(job) }
            return remote.isIdle
        }
        // One write a burst: later jobs ride on the first wake-up.
        if wasIdle { wakeUp() }
    }

    package func checkIsolated() {
        precondition(isCurrent, "called off the event loop")
    }

    package func isIsolatingCurrentContext() -> Bool? { isCurrent }

    /// Whether the caller runs on this loop's thread.
    package var isCurrent: Bool { threadID.load(ordering: .relaxed) == csystem_thread_id() }

    /// Runs `work` on the loop, in the order of the calls; from any thread.
    package func post(_ work: @escaping @Sendable () -> Void) {
        let wasIdle = remote.withLock { remote in
            defer { remote.work.append(work) }
            return remote.isIdle
        }
        if wasIdle { wakeUp() }
    }

    private func wakeUp() {
        _ = eventfd_write(wake.raw, 1)
    }

    // MARK: Turns

    /// Says what the code that runs now is about, for a monitor; until the turn is over.
    ///
    /// On the loop only.
    package func mark(_ label: Int) {
        assert(isCurrent)
        activity.set(label: label)
    }

    /// Calls `observer` on the loop after each of its turns, with the time from the kernel's answer on.
    package func observeTurns(_ observer: @escaping @Sendable (Duration) -> Void) {
        post { self.onTurn = observer }
    }

    // MARK: Time

    /// When the present turn began: as exact as it matters for most deadlines, without asking the clock.
    ///
    /// On the loop only.
    package private(set) var turnBegan = Deadline.now()

    /// Suspends until `deadline`; returns early when the task is cancelled.
    ///
    /// On the loop only.
    package func sleep(until deadline: Deadline, isolation: isolated (any Actor)? = #isolation) async {
        assert(isCurrent)
        let wait = CountedWait(for: "a timer")
        defer { wait.end() }
        sleepersStarted += 1
        let id = sleepersStarted
        await withTaskCancellationHandler {
            // A closure takes over the isolation that it captures, and would leave the loop without.
            _ = isolation
            await withUnsafeContinuation { continuation in
                if Task.isCancelled {
                    continuation.resume()
                } else {
                    sleepers[id] = continuation
                    if deadline != .never { timers.add(.sleeper(id), at: deadline) }
                }
            }
        } onCancel: {
            post { self.sleepers.removeValue(forKey: id)?.resume() }
        }
    }

    /// Suspends for `duration`; see ``sleep(until:)``.
    package func sleep(for duration: Duration, isolation: isolated (any Actor)? = #isolation) async {
        await sleep(until: .after(duration), isolation: isolation)
    }

    /// Lets everybody else on the loop go first, who has something to do or about to come from the kernel.
    ///
    /// For long work that never has to wait. On the loop only.
    package func nextTurn(isolation: isolated (any Actor)? = #isolation) async {
        assert(isCurrent)
        await withUnsafeContinuation { turnWaiters.append($0) }
    }

    // MARK: Descriptors

    /// Registers `raw`, which stays open until ``unregister(_:)``.
    ///
    /// On the loop only.
    func register(_ raw: CInt, events: UInt32) throws(SystemError) -> Watch {
        assert(isCurrent)
        generation &+= 1
        let watch = Watch(raw: raw, generation: generation)
        var event = csystem_epoll_event(events, watch.token)
        let epollRaw = epoll.raw
        try systemCall("epoll_ctl") { epoll_ctl(epollRaw, EPOLL_CTL_ADD, raw, &event) }
        let index = Int(raw)
        while watches.count <= index { watches.append(nil) }
        watches[index] = watch
        return watch
    }

    /// Asks for `events` of a one-shot registration again.
    func rearm(_ watch: Watch, events: UInt32) throws(SystemError) {
        var event = csystem_epoll_event(events, watch.token)
        let epollRaw = epoll.raw
        try systemCall("epoll_ctl") { epoll_ctl(epollRaw, EPOLL_CTL_MOD, watch.raw, &event) }
    }

    /// Forgets a descriptor and resumes whoever waits for it; its owner closes it afterwards.
    func unregister(_ watch: Watch) {
        assert(isCurrent)
        let index = Int(watch.raw)
        guard index < watches.count, watches[index] === watch else { return }
        watches[index] = nil
        var unused = csystem_epoll_event(0, 0)
        _ = epoll_ctl(epoll.raw, EPOLL_CTL_DEL, watch.raw, &unused)
        watch.onEvent = nil
        watch.finishReader(.closed)
        watch.finishWriter(.closed)
    }

    /// Makes sure that a wait which has just begun on `watch` ends at its deadline.
    func noteDeadline(of watch: Watch) {
        guard let deadline = watch.earliestDeadline, deadline != .never else { return }
        if let wakesAt = watch.wakesAt, wakesAt <= deadline { return }
        watch.wakesAt = deadline
        timers.add(.watch(watch.token), at: deadline)
    }

    // MARK: Without a thread

    /// Runs the job that has waited longest, on the calling thread; `false` when there is none.
    ///
    /// Only for a loop without a thread of its own, and always on the same thread.
    package func runNextJob() -> Bool {
        threadID.store(csystem_thread_id(), ordering: .relaxed)
        if !remote.withLock({ $0.isIdle }) { takeRemote() }
        if jobs.isEmpty { return false }
        jobs.removeFirst().runSynchronously(
            isolatedTo: asUnownedSerialExecutor(),
            taskExecutor: asUnownedTaskExecutor()
        )
        return true
    }

    /// Whether ``runNextJob()`` would find something to do.
    package var hasJob: Bool { !jobs.isEmpty || !remote.withLock { $0.isIdle } }

    /// When the next of those who wait for a moment is due; `nil` when nobody does.
    package var nextTimer: Deadline? { timers.next }

    // MARK: The thread

    /// Ends the loop and joins its thread; from another thread only.
    ///
    /// Tasks that still wait on it never resume.
    package func stop() {
        precondition(!isCurrent, "a loop cannot wait for its own end")
        if isStopping.exchange(true, ordering: .acquiringAndReleasing) { return }
        wakeUp()
        thread.withLock { $0 }?.join()
    }

    private func run() {
        activity.thread.withLock { $0 = .current() }
        threadID.store(csystem_thread_id(), ordering: .releasing)
        var events = [epoll_event](repeating: csystem_epoll_event(0, 0), count: Self.eventsMax)
        while !isStopping.load(ordering: .acquiring) {
            let count = epoll_wait(epoll.raw, &events, CInt(events.count), timeoutMilliseconds())
            precondition(count >= 0 || errno == EINTR, "epoll_wait fails only when interrupted")
            let began = Deadline.now()
            turnBegan = began
            activity.begin(began)
            // One of those who let the others go first, however many there are: a turn takes no longer for it
            // than one piece of long work. The others are all whom the kernel's answer has woken.
            let patient = turnWaiters.popFirst()
            for index in 0..<Int(max(count, 0)) { receive(events[index]) }
            runJobs()
            patient?.resume()
            if timers.next != nil { expireTimers(at: .now()) }
            runJobs()
            activity.end()
            onTurn?(Deadline.now().duration(since: began))
        }
    }

    private func timeoutMilliseconds() -> CInt {
        if !jobs.isEmpty || !turnWaiters.isEmpty { return 0 }
        guard let next = timers.next else { return -1 }
        let now = Deadline.now()
        if next <= now { return 0 }
        // Rounded up: a wait that ends a fraction early would spin until its deadline.
        return CInt(clamping: (next.nanoseconds - now.nanoseconds + 999_999) / 1_000_000)
    }

    private func receive(_ event: epoll_event) {
        var event = event
        let token = csystem_epoll_data(&event)
        if token == Self.wakeToken {
            takeRemote()
            return
        }
        watch(for: token)?.receive(event.events)
    }

    /// The watch that `token` was made for; `nil` when its descriptor has been closed or reused since.
    private func watch(for token: UInt64) -> Watch? {
        let index = Int(truncatingIfNeeded: token & 0xFFFF_FFFF)
        guard index < watches.count, let watch = watches[index], watch.token == token else { return nil }
        return watch
    }

    private func takeRemote() {
        var counter: eventfd_t = 0
        _ = eventfd_read(wake.raw, &counter)
        let work = remote.withLock { remote in
            jobs.append(contentsOf: remote.jobs)
            remote.jobs.removeAll(keepingCapacity: true)
            defer { remote.work = [] }
            return remote.work
        }
        for item in work { item() }
    }

    private func runJobs() {
        let serial = asUnownedSerialExecutor()
        let task = asUnownedTaskExecutor()
        var rounds = 0
        while !jobs.isEmpty, rounds < Self.roundsMax {
            rounds += 1
            swap(&jobs, &batch)
            for job in batch { job.runSynchronously(isolatedTo: serial, taskExecutor: task) }
            batch.removeAll(keepingCapacity: true)
        }
    }

    /// Resumes whoever waits for a moment that is not after `now`.
    package func expireTimers(at now: Deadline) {
        while let entry = timers.popExpired(at: now) {
            switch entry.token {
            case .sleeper(let id): sleepers.removeValue(forKey: id)?.resume()
            case .watch(let token):
                // An entry that an earlier one has replaced is dropped, or entries would breed.
                guard let watch = watch(for: token), watch.wakesAt == entry.deadline else { continue }
                expire(watch, at: now)
            }
        }
    }

    private func expire(_ watch: Watch, at now: Deadline) {
        watch.wakesAt = nil
        if let reader = watch.reader, reader.deadline <= now { watch.finishReader(.timedOut) }
        if let writer = watch.writer, writer.deadline <= now { watch.finishWriter(.timedOut) }
        noteDeadline(of: watch)
    }
}
