/// How workers end: asked to leave, then by signals, as their time runs out.
extension PoolState {
    // MARK: Ending

    /// Sends an idle worker the next job, or away if it has done its share.
    mutating func afterJob(_ index: Int, now: Duration) -> [Action] {
        if isStopping { return [leave(index, now: now)] }
        let slot = slots[index]
        if slot.jobsDone >= slot.jobsMax || slot.residentBytes > limits.residentBytesMax {
            return [leave(index, now: now), .note(.recycled(generation: slot.generation))]
        }
        return dispatchNext(to: index, now: now)
    }

    mutating func leave(_ index: Int, now: Duration) -> Action {
        slots[index].phase = .draining(until: now + limits.leaveGrace)
        return .askToLeave(generation: slots[index].generation)
    }

    /// First rung of the ladder: SIGTERM, which a stopped or deaf process ignores.
    mutating func terminate(
        _ index: Int,
        run: Run?,
        cause: FailureCause,
        reason: String,
        now: Duration
    ) -> Action {
        slots[index].phase = .dying(
            Dying(
                run: run,
                cause: cause,
                reason: reason,
                step: .terminated,
                nextAt: now + limits.terminationGrace
            )
        )
        return .terminate(generation: slots[index].generation)
    }

    /// Last rung: SIGKILL.
    mutating func kill(
        _ index: Int,
        run: Run?,
        cause: FailureCause,
        reason: String,
        isBootFailure: Bool = false,
        now: Duration
    ) -> Action {
        slots[index].phase = .dying(
            Dying(
                run: run,
                cause: cause,
                reason: reason,
                step: .killed,
                nextAt: now + limits.reapGrace,
                isBootFailure: isBootFailure
            )
        )
        return .kill(generation: slots[index].generation)
    }

    /// Asks a job to stop if its worker understands that, and begins with the signals if not.
    mutating func stop(
        _ run: inout Run,
        in index: Int,
        cause: FailureCause,
        reason: SupervisorMessage.CancelReason,
        grace: Duration,
        now: Duration
    ) -> [Action] {
        run.cancelCause = cause
        if !slots[index].canCancel {
            return [terminate(index, run: run, cause: cause, reason: "it was asked to stop", now: now)]
        }
        run.cancelAt = nil
        run.deadline = min(run.deadline, now + grace)
        slots[index].phase = .busy(run)
        return [.cancel(generation: slots[index].generation, sequence: run.sequence, reason)]
    }

    /// The pool's time to drain is up.
    mutating func stopRuns(now: Duration) -> [Action] {
        var actions: [Action] = []
        for index in slots.indices {
            guard case .busy(var run) = slots[index].phase else { continue }
            actions += stop(
                &run,
                in: index,
                cause: .drained,
                reason: .drain,
                grace: limits.terminationGrace,
                now: now
            )
        }
        return actions
    }

    mutating func reportDown() -> [Action] {
        if !isStopping || hasReportedDown || slots.contains(where: { $0.hasProcess }) { return [] }
        hasReportedDown = true
        return [.allDown]
    }

    // MARK: Time

    mutating func tick(_ index: Int, now: Duration) -> [Action] {
        switch slots[index].phase {
        case .down, .backoff, .idle: return []
        case .booting(let until):
            if until > now { return [] }
            return [
                kill(
                    index,
                    run: nil,
                    cause: .crash,
                    reason: "it did not answer HELLO in time",
                    isBootFailure: true,
                    now: now
                )
            ]
        case .draining(let until):
            if until > now { return [] }
            return [
                terminate(
                    index,
                    run: nil,
                    cause: .drained,
                    reason: "it did not leave when asked to",
                    now: now
                )
            ]
        case .busy(let run): return tick(index, run, now: now)
        case .dying(let dying): return tick(index, dying, now: now)
        }
    }

    private mutating func tick(_ index: Int, _ run: Run, now: Duration) -> [Action] {
        if run.deadline <= now {
            let cause = run.cancelCause ?? .timeout
            let reason = cause == .timeout ? "its time was up" : "it did not stop when asked to"
            return [terminate(index, run: run, cause: cause, reason: reason, now: now)]
        }
        guard let cancelAt = run.cancelAt, cancelAt <= now else { return [] }
        var run = run
        run.cancelAt = nil
        run.cancelCause = .timeout
        slots[index].phase = .busy(run)
        return [.cancel(generation: slots[index].generation, sequence: run.sequence, .softTimeout)]
    }

    private mutating func tick(_ index: Int, _ dying: Dying, now: Duration) -> [Action] {
        if dying.nextAt > now { return [] }
        if dying.step == .terminated {
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
        // It hangs in the kernel. The slot gets another one; should this one end after all, nobody waits for
        // it.
        let generation = slots[index].generation
        return [.abandon(generation: generation), .note(.unreapable(generation: generation))]
            + gone(generation: generation, now: now)
    }
}
