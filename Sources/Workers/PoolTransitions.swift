/// News of processes, and the start of new ones.
extension PoolState {
    // MARK: News

    /// HELLO_OK: the worker can take jobs, and a CANCEL if it said so.
    package mutating func ready(generation: Int, canCancel: Bool, now: Duration) -> [Action] {
        guard let index = slot(of: generation), case .booting = slots[index].phase else { return [] }
        slots[index].phase = .idle
        slots[index].canCancel = canCancel
        slots[index].jobsMax = jittered(limits.jobsPerWorker)
        var actions: [Action] = []
        if breaker != .closed {
            breaker = .closed
            bootFailures = []
            actions.append(.note(.breakerClosed))
            for other in slots.indices {
                if case .backoff = slots[other].phase { slots[other].phase = .backoff(until: now) }
            }
        }
        return actions + dispatchNext(to: index, now: now) + fill(now: now)
    }

    /// HELLO_NO: no common version, which no retry mends; opens the breaker.
    package mutating func refused(generation: Int, reason: String, now: Duration) -> [Action] {
        guard let index = slot(of: generation), case .booting = slots[index].phase else { return [] }
        let failure = kill(
            index,
            run: nil,
            cause: .crash,
            reason: reason,
            isBootFailure: true,
            now: now
        )
        return [failure] + openBreaker(now: now)
    }

    /// The worker broke the protocol: nothing that it says is believed any more.
    package mutating func violated(generation: Int, reason: String, now: Duration) -> [Action] {
        guard let index = slot(of: generation) else { return [] }
        if case .dying(let dying) = slots[index].phase {
            if dying.step == .killed { return [] }
            return [
                kill(
                    index,
                    run: dying.run,
                    cause: dying.cause,
                    reason: dying.reason,
                    isBootFailure: dying.isBootFailure,
                    now: now
                )
            ]
        }
        return [
            kill(
                index,
                run: slots[index].run,
                cause: .crash,
                reason: reason,
                isBootFailure: slots[index].isBooting,
                now: now
            )
        ]
    }

    /// The replies have ended; the exit is expected at once, and forced if it does not come.
    package mutating func outputEnded(generation: Int, now: Duration) -> [Action] {
        guard let index = slot(of: generation) else { return [] }
        switch slots[index].phase {
        case .down, .backoff, .draining, .dying: break
        case .booting, .idle, .busy:
            let run = slots[index].run
            slots[index].phase = .dying(
                Dying(
                    run: run,
                    cause: run?.cancelCause ?? .crash,
                    reason: "its replies ended",
                    step: .terminated,
                    nextAt: now + limits.pipeGrace,
                    isBootFailure: slots[index].isBooting
                )
            )
        }
        return []
    }

    /// BYE: the worker leaves of itself, or as asked; a job that crossed it on the pipe is given back.
    package mutating func saidBye(generation: Int, now: Duration) -> [Action] {
        guard let index = slot(of: generation) else { return [] }
        let run: Run?
        switch slots[index].phase {
        case .down, .backoff, .booting, .draining, .dying: return []
        case .idle: run = nil
        case .busy(let current): run = current
        }
        slots[index].phase = .draining(until: now + limits.leaveGrace)
        guard let run else { return [] }
        return [.settle(run.ticket, .failed(.drained, reason: "the worker left instead of taking it"))]
    }

    /// An idle worker's memory, from a PONG.
    package mutating func reported(generation: Int, residentBytes: Int64, now: Duration) -> [Action] {
        guard let index = slot(of: generation) else { return [] }
        slots[index].residentBytes = residentBytes
        return slots[index].phase == .idle ? afterJob(index, now: now) : []
    }

    /// No process could be made.
    package mutating func spawnFailed(generation: Int, now: Duration) -> [Action] {
        gone(generation: generation, now: now)
    }

    /// The process is reaped and its pipes are read to their ends.
    package mutating func gone(generation: Int, now: Duration) -> [Action] {
        guard let index = slot(of: generation) else { return [] }
        var actions: [Action] = []
        switch slots[index].phase {
        case .down, .backoff: return []
        case .booting: actions += bootFailed(index, now: now)
        case .idle:
            slots[index].failures += 1
            actions.append(.note(.crashed(generation: generation)))
        case .busy(let run):
            actions += ended(
                run,
                cause: run.cancelCause ?? .crash,
                reason: "it ended",
                generation: generation
            )
        case .draining:
            // One that leaves before it has done anything must not be started again in a tight circle.
            if slots[index].jobsDone == 0 { slots[index].failures += 1 }
        case .dying(let dying):
            if dying.isBootFailure {
                actions += bootFailed(index, now: now)
            } else if let run = dying.run {
                actions += ended(run, cause: dying.cause, reason: dying.reason, generation: generation)
            } else if dying.cause == .crash {
                slots[index].failures += 1
                actions.append(.note(.crashed(generation: generation)))
            }
        }
        return actions + vacate(index, now: now)
    }

    private func ended(_ run: Run, cause: FailureCause, reason: String, generation: Int) -> [Action] {
        let settle = Action.settle(run.ticket, .failed(cause, reason: reason))
        switch cause {
        case .crash: return [settle, .note(.crashed(generation: generation))]
        case .timeout: return [settle, .note(.timedOut(generation: generation))]
        case .error, .permanent, .cancelled, .drained: return [settle]
        }
    }

    /// Empties a slot whose process is gone, and fills it again when that is due.
    private mutating func vacate(_ index: Int, now: Duration) -> [Action] {
        if isStopping {
            slots[index].phase = .down
            return reportDown()
        }
        slots[index].phase = .backoff(until: now + respawnDelay(failures: slots[index].failures))
        return fill(now: now)
    }

    private func respawnDelay(failures: Int) -> Duration {
        if failures == 0 { return .zero }
        return min(limits.respawnDelayMax, limits.respawnDelayMin * (1 << min(failures - 1, 16)))
    }

    // MARK: Starting

    /// Starts a process in every slot that may have one now.
    mutating func fill(now: Duration) -> [Action] {
        if isStopping { return [] }
        var actions: [Action] = []
        for index in slots.indices {
            switch slots[index].phase {
            case .down: break
            case .backoff(let until):
                guard let time = spawnTime(until), time <= now else { continue }
            case .booting, .idle, .busy, .draining, .dying: continue
            }
            actions += spawn(index, now: now)
        }
        return actions
    }

    /// When a slot in backoff may start; `nil` while the breaker waits for the outcome of another start.
    func spawnTime(_ until: Duration) -> Duration? {
        guard case .open(let probeAt) = breaker else { return until }
        return slots.contains { $0.isBooting } ? nil : max(until, probeAt)
    }

    private mutating func spawn(_ index: Int, now: Duration) -> [Action] {
        var fresh = Slot()
        fresh.generation = nextGeneration
        fresh.failures = slots[index].failures
        let isRestart = slots[index].generation != 0
        fresh.restarts = slots[index].restarts + (isRestart ? 1 : 0)
        fresh.phase = .booting(until: now + limits.boot)
        slots[index] = fresh
        nextGeneration += 1
        let spawn = Action.spawn(slot: index, generation: fresh.generation)
        return isRestart ? [spawn, .note(.restarted(generation: fresh.generation))] : [spawn]
    }

    private mutating func bootFailed(_ index: Int, now: Duration) -> [Action] {
        slots[index].failures += 1
        bootFailures = bootFailures.filter { now - $0 < limits.bootFailureWindow } + [now]
        let note = Action.note(.bootFailed(generation: slots[index].generation))
        if breaker == .closed, bootFailures.count < limits.bootFailuresMax { return [note] }
        return [note] + openBreaker(now: now)
    }

    private mutating func openBreaker(now: Duration) -> [Action] {
        let wasClosed = breaker == .closed
        breaker = .open(probeAt: now + limits.breakerProbe)
        let actions: [Action] = wasClosed ? [.note(.breakerOpened)] : []
        // Workers that run already go on with the queue; without any, waiting would be for nothing.
        return hasWorker ? actions : actions + flushQueue(reason: "no worker can be started")
    }
}
