import Reactor

/// Decides what the pool does: which worker runs which job, who is started, asked to leave, and killed.
///
/// Holds no process, pipe, clock or task. Each method takes what happened, and when (the time since any fixed
/// start), and returns what to do about it; ``WorkerPool`` does it. ``nextWake`` says when ``tick(now:)`` has
/// something to do.
///
/// A slot goes
///
///     down ─→ booting ─→ idle ⇄ busy          booting, idle, busy, draining ─→ dying ─→ backoff or down
///      ↑         ↑         └─→ draining ─→ down
///      └─ backoff ┘
///
/// and every process has a generation of its own, so that news of one that is gone already changes nothing.
package struct PoolState: Sendable {
    /// A job's number in this pool; never used twice.
    package typealias Ticket = Int

    package enum Action: Equatable, Sendable {
        case spawn(slot: Int, generation: Int)
        case dispatch(Ticket, generation: Int, sequence: UInt32)
        case cancel(generation: Int, sequence: UInt32, SupervisorMessage.CancelReason)
        case ping(generation: Int)
        /// Send DRAIN.
        case askToLeave(generation: Int)
        /// SIGTERM to the group.
        case terminate(generation: Int)
        /// SIGKILL to the group.
        case kill(generation: Int)
        /// The process does not even die; forget it.
        case abandon(generation: Int)
        case settle(Ticket, Settlement)
        case note(Note)
        /// No process is left, and none will be started.
        case allDown
    }

    /// How a job ended.
    package enum Settlement: Equatable, Sendable {
        /// As the reply says that is being handled.
        case reply
        case failed(FailureCause, reason: String)
    }

    /// What is worth counting or logging, and needs nothing done.
    package enum Note: Equatable, Sendable {
        case restarted(generation: Int)
        case crashed(generation: Int)
        case timedOut(generation: Int)
        case recycled(generation: Int)
        case bootFailed(generation: Int)
        case unreapable(generation: Int)
        case frameDropped(generation: Int)
        case breakerOpened
        case breakerClosed
    }

    package let size: Int
    let limits: WorkerLimits
    var slots: [Slot]
    var queue: [Queued] = []
    var nextGeneration = 1
    private var nextTicket: Ticket = 1
    private var random: SplitMix64
    var isStopping = false
    var stopAt: Duration?
    var hasReportedDown = false
    var bootFailures: [Duration] = []
    var breaker = Breaker.closed
    private var nextBeat = Duration.zero

    /// Whether the command fails to start again and again.
    enum Breaker: Equatable {
        case closed
        /// One attempt may be made at `probeAt`; its success closes the breaker.
        case open(probeAt: Duration)
    }

    struct Queued: Equatable {
        let ticket: Ticket
        let timeout: Duration
        /// When it is given back unrun.
        let until: Duration
    }

    package init(size: Int, limits: WorkerLimits = WorkerLimits(), seed: UInt64 = 0) {
        precondition(size > 0, "a pool has a worker")
        self.size = size
        self.limits = limits
        random = SplitMix64(seed: seed)
        slots = (0..<size).map { _ in Slot() }
    }

    // MARK: Jobs

    /// Takes a job, which runs at once if a worker is idle.
    package mutating func submit(timeout: Duration, now: Duration) -> (ticket: Ticket, actions: [Action]) {
        let ticket = nextTicket
        nextTicket += 1
        if isStopping {
            return (ticket, [.settle(ticket, .failed(.drained, reason: "the pool is draining"))])
        }
        if breaker != .closed, !hasWorker {
            return (ticket, [.settle(ticket, .failed(.drained, reason: "no worker can be started"))])
        }
        if queue.isEmpty, let slot = slots.firstIndex(where: { $0.phase == .idle }) {
            return (ticket, [dispatch(ticket, timeout: timeout, to: slot, now: now)])
        }
        if queue.count == limits.waitingMax {
            return (ticket, [.settle(ticket, .failed(.drained, reason: "too many jobs wait for a worker"))])
        }
        queue.append(Queued(ticket: ticket, timeout: timeout, until: now + limits.waiting))
        return (ticket, [])
    }

    /// A RESULT, or a FAIL with its cause; the job is settled if one of the actions says so.
    package mutating func reply(
        generation: Int,
        sequence: UInt32,
        isTokenRight: Bool,
        failure: FailureCause?,
        residentBytes: Int64?,
        now: Duration
    ) -> [Action] {
        guard let index = slot(of: generation) else { return [.note(.frameDropped(generation: generation))] }
        guard let run = slots[index].run, run.sequence == sequence, isTokenRight else {
            // The rule is exactly one RESULT or FAIL a job; a second one means that the worker has lost
            // count.
            if slots[index].lastSettled == sequence {
                return violated(generation: generation, reason: "a second reply to one job", now: now)
            }
            return [.note(.frameDropped(generation: generation))]
        }
        slots[index].lastSettled = sequence
        slots[index].jobsDone += 1
        slots[index].failures = 0
        if let residentBytes { slots[index].residentBytes = residentBytes }
        let actions = settled(run, in: index, failure: failure)
        if case .dying(var dying) = slots[index].phase {
            // The reply was on its way when the signal was sent; it counts, the process goes all the same.
            dying.run = nil
            slots[index].phase = .dying(dying)
            return actions
        }
        slots[index].phase = .idle
        return actions + afterJob(index, now: now)
    }

    /// Translates "cancelled", which a worker says to whatever it was stopped for.
    private func settled(_ run: Run, in index: Int, failure: FailureCause?) -> [Action] {
        guard failure == .cancelled else { return [.settle(run.ticket, .reply)] }
        var asked = run.cancelCause
        if case .dying(let dying) = slots[index].phase { asked = dying.cause }
        switch asked {
        case .cancelled: return [.settle(run.ticket, .reply)]
        case .timeout:
            return [
                .settle(run.ticket, .failed(.timeout, reason: "stopped when asked to")),
                .note(.timedOut(generation: slots[index].generation)),
            ]
        case nil:
            return [.settle(run.ticket, .failed(.error, reason: "the worker cancelled the job unasked"))]
        case let cause?:
            return [.settle(run.ticket, .failed(cause, reason: "stopped when asked to"))]
        }
    }

    /// Stops a job that is queued or running; it ends for this cause: `cancelled`, or `drained` to be given
    /// back.
    package mutating func cancel(
        _ ticket: Ticket,
        cause: FailureCause = .cancelled,
        now: Duration
    ) -> [Action] {
        if let index = queue.firstIndex(where: { $0.ticket == ticket }) {
            queue.remove(at: index)
            return [.settle(ticket, .failed(cause, reason: "cancelled before it ran"))]
        }
        guard let index = slots.firstIndex(where: { $0.run?.ticket == ticket }),
            case .busy(var run) = slots[index].phase
        else { return [] }
        return stop(&run, in: index, cause: cause, reason: .user, grace: limits.cancelGrace, now: now)
    }

    // MARK: The pool's life

    /// Starts the workers.
    package mutating func start(now: Duration) -> [Action] {
        nextBeat = now + limits.beat
        return fill(now: now)
    }

    /// Takes no more jobs; those that run have until `deadline`, which a second call may bring forward.
    package mutating func drain(until deadline: Duration, now: Duration) -> [Action] {
        isStopping = true
        stopAt = min(stopAt ?? deadline, max(deadline, now))
        var actions = flushQueue(reason: "the pool is draining")
        for index in slots.indices {
            switch slots[index].phase {
            case .idle: actions.append(leave(index, now: now))
            case .booting: actions.append(terminate(index, run: nil, cause: .drained, reason: "", now: now))
            case .backoff: slots[index].phase = .down
            case .down, .busy, .draining, .dying: break
            }
        }
        return actions + reportDown() + tick(now: now)
    }

    /// Kills every worker at once; running jobs end as drained, and fresh workers start.
    package mutating func killAll(now: Duration) -> [Action] {
        var actions = flushQueue(reason: "the workers were killed")
        for index in slots.indices {
            switch slots[index].phase {
            case .down, .backoff: break
            case .booting, .idle, .busy, .draining, .dying:
                actions.append(
                    kill(
                        index,
                        run: slots[index].run,
                        cause: .drained,
                        reason: "the workers were killed",
                        now: now
                    )
                )
            }
        }
        return actions
    }

    // MARK: Asked by the pool

    /// Workers that could take a job at once.
    package var freeSlots: Int {
        if isStopping { return 0 }
        return max(0, slots.count { $0.phase == .idle } - queue.count)
    }

    package var isBreakerOpen: Bool { breaker != .closed }

    /// Workers that have booted and are not on their way out.
    package var workersUp: Int { slots.count { $0.phase.isUp } }

    /// When ``tick(now:)`` must be called next; `nil` when only news can change anything.
    package var nextWake: Duration? {
        var wake = stopAt
        func consider(_ time: Duration?) {
            if let time { wake = min(wake ?? time, time) }
        }
        consider(queue.first?.until)
        var isAnyIdle = false
        for slot in slots {
            if slot.phase == .idle { isAnyIdle = true }
            if case .backoff(let until) = slot.phase {
                consider(spawnTime(until))
            } else {
                consider(slot.phase.wake)
            }
        }
        if isAnyIdle { consider(nextBeat) }
        return wake
    }

    /// Does what the time asks for: boot timeouts, deadlines, the kill ladder, respawns, PINGs.
    package mutating func tick(now: Duration) -> [Action] {
        var actions: [Action] = []
        if let stopAt, stopAt <= now {
            self.stopAt = nil
            actions += stopRuns(now: now)
        }
        while let first = queue.first, first.until <= now {
            queue.removeFirst()
            actions.append(.settle(first.ticket, .failed(.drained, reason: "no worker became free in time")))
        }
        for index in slots.indices { actions += tick(index, now: now) }
        if now >= nextBeat {
            nextBeat = now + limits.beat
            for slot in slots where slot.phase == .idle { actions.append(.ping(generation: slot.generation)) }
        }
        return actions + fill(now: now)
    }

    // MARK: Parts that the other files share

    func slot(of generation: Int) -> Int? {
        slots.firstIndex { $0.generation == generation && $0.hasProcess }
    }

    var hasWorker: Bool { slots.contains { $0.phase.isUp } }

    mutating func dispatch(_ ticket: Ticket, timeout: Duration, to index: Int, now: Duration) -> Action {
        slots[index].sequence &+= 1
        // The first byte is written with the dispatch: an idle worker's pipe is empty.
        var run = Run(
            ticket: ticket,
            sequence: slots[index].sequence,
            startedAt: now,
            deadline: now + timeout
        )
        if slots[index].canCancel { run.cancelAt = now + timeout * limits.softTimeoutPercent / 100 }
        slots[index].phase = .busy(run)
        return .dispatch(ticket, generation: slots[index].generation, sequence: run.sequence)
    }

    /// Gives an idle worker the next job.
    mutating func dispatchNext(to index: Int, now: Duration) -> [Action] {
        if queue.isEmpty || slots[index].phase != .idle { return [] }
        let next = queue.removeFirst()
        return [dispatch(next.ticket, timeout: next.timeout, to: index, now: now)]
    }

    mutating func flushQueue(reason: String) -> [Action] {
        defer { queue = [] }
        return queue.map { .settle($0.ticket, .failed(.drained, reason: reason)) }
    }

    /// Jobs until a process is replaced: a fifth more or less than the limit.
    mutating func jittered(_ jobs: Int) -> Int {
        let spread = jobs / 5
        return jobs - spread + Int(random.next(below: UInt64(2 * spread + 1)))
    }
}
