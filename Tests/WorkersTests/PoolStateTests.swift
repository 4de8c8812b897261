import Testing
import Workers

@Suite struct `Pool state` {
    static func limits() -> WorkerLimits {
        var limits = WorkerLimits()
        limits.boot = .seconds(10)
        limits.jobsPerWorker = 1000
        limits.beat = .seconds(1000)
        return limits
    }

    /// A pool of `size` workers that are ready; their generations are 1, 2, ….
    static func ready(_ size: Int, canCancel: Bool = false, limits: WorkerLimits = limits()) -> PoolState {
        var state = PoolState(size: size, limits: limits)
        _ = state.start(now: .zero)
        for generation in 1...size {
            #expect(state.ready(generation: generation, canCancel: canCancel, now: .zero) == [])
        }
        return state
    }

    static func reply(
        _ state: inout PoolState,
        _ generation: Int,
        _ sequence: UInt32,
        isTokenRight: Bool = true,
        failure: FailureCause? = nil,
        now: Duration = .seconds(1)
    ) -> [PoolState.Action] {
        state.reply(
            generation: generation,
            sequence: sequence,
            isTokenRight: isTokenRight,
            failure: failure,
            residentBytes: nil,
            now: now
        )
    }

    @Test func `starts as many workers as it has slots`() {
        var state = PoolState(size: 2, limits: Self.limits())
        #expect(state.start(now: .zero) == [.spawn(slot: 0, generation: 1), .spawn(slot: 1, generation: 2)])
        #expect(state.freeSlots == 0)
    }

    @Test func `runs a job at once, and the next when a worker is free`() {
        var state = Self.ready(1)
        let first = state.submit(timeout: .seconds(9), now: .zero)
        #expect(first.actions == [.dispatch(first.ticket, generation: 1, sequence: 1)])
        let second = state.submit(timeout: .seconds(9), now: .zero)
        #expect(second.actions == [])
        #expect(
            Self.reply(&state, 1, 1)
                == [.settle(first.ticket, .reply), .dispatch(second.ticket, generation: 1, sequence: 2)]
        )
        #expect(Self.reply(&state, 1, 2) == [.settle(second.ticket, .reply)])
        #expect(state.freeSlots == 1)
    }

    @Test func `refuses what does not fit its queue, and gives back what waits too long`() {
        var limits = Self.limits()
        limits.waitingMax = 1
        var state = PoolState(size: 1, limits: limits)
        _ = state.start(now: .zero)
        let first = state.submit(timeout: .seconds(9), now: .zero)
        let second = state.submit(timeout: .seconds(9), now: .zero)
        #expect(
            second.actions
                == [.settle(second.ticket, .failed(.drained, reason: "too many jobs wait for a worker"))]
        )
        limits.boot = .seconds(1000)
        #expect(
            state.tick(now: limits.waiting).contains(
                .settle(first.ticket, .failed(.drained, reason: "no worker became free in time"))
            )
        )
    }

    @Test func `drops replies of another job and kills a worker that answers twice`() {
        var state = Self.ready(1)
        let job = state.submit(timeout: .seconds(9), now: .zero)
        #expect(Self.reply(&state, 1, 5) == [.note(.frameDropped(generation: 1))])
        #expect(Self.reply(&state, 1, 1, isTokenRight: false) == [.note(.frameDropped(generation: 1))])
        #expect(Self.reply(&state, 77, 1) == [.note(.frameDropped(generation: 77))])
        #expect(Self.reply(&state, 1, 1) == [.settle(job.ticket, .reply)])
        #expect(Self.reply(&state, 1, 1) == [.kill(generation: 1)])
        #expect(
            state.gone(generation: 1, now: .seconds(2)).first == .note(.crashed(generation: 1))
        )
    }

    @Test func `climbs the kill ladder at the deadline`() {
        var state = Self.ready(1)
        let job = state.submit(timeout: .seconds(10), now: .seconds(1))
        #expect(state.nextWake == .seconds(11))
        #expect(state.tick(now: .seconds(10)) == [])
        #expect(state.tick(now: .seconds(11)) == [.terminate(generation: 1)])
        #expect(state.nextWake == .seconds(13))
        #expect(state.tick(now: .seconds(13)) == [.kill(generation: 1)])
        #expect(
            state.gone(generation: 1, now: .seconds(14))
                == [
                    .settle(job.ticket, .failed(.timeout, reason: "its time was up")),
                    .note(.timedOut(generation: 1)), .spawn(slot: 0, generation: 2),
                    .note(.restarted(generation: 2)),
                ]
        )
    }

    @Test func `gives up on a process that survives SIGKILL`() {
        var state = Self.ready(1)
        let job = state.submit(timeout: .seconds(1), now: .zero)
        _ = state.tick(now: .seconds(1))
        _ = state.tick(now: .seconds(3))
        let actions = state.tick(now: .seconds(8))
        #expect(actions.starts(with: [.abandon(generation: 1), .note(.unreapable(generation: 1))]))
        #expect(actions.contains(.settle(job.ticket, .failed(.timeout, reason: "its time was up"))))
        #expect(actions.contains(.spawn(slot: 0, generation: 2)))
        #expect(state.gone(generation: 1, now: .seconds(9)) == [])
    }

    @Test func `asks first, where the worker understands it`() {
        var state = Self.ready(1, canCancel: true)
        let job = state.submit(timeout: .seconds(10), now: .zero)
        #expect(state.nextWake == .seconds(8))
        #expect(state.tick(now: .seconds(8)) == [.cancel(generation: 1, sequence: 1, .softTimeout)])
        #expect(state.nextWake == .seconds(10))
        #expect(
            Self.reply(&state, 1, 1, failure: .cancelled, now: .seconds(9))
                == [
                    .settle(job.ticket, .failed(.timeout, reason: "stopped when asked to")),
                    .note(.timedOut(generation: 1)),
                ]
        )
        #expect(state.freeSlots == 1)
    }

    @Test func `takes a result that was on its way when the signal was sent`() {
        var state = Self.ready(1)
        let job = state.submit(timeout: .seconds(1), now: .zero)
        _ = state.tick(now: .seconds(1))
        #expect(Self.reply(&state, 1, 1) == [.settle(job.ticket, .reply)])
        #expect(
            state.gone(generation: 1, now: .seconds(2))
                == [.spawn(slot: 0, generation: 2), .note(.restarted(generation: 2))]
        )
    }

    @Test func `fails the job of a worker that ends, and replaces it at once`() {
        var state = Self.ready(2)
        let job = state.submit(timeout: .seconds(10), now: .zero)
        #expect(state.outputEnded(generation: 1, now: .seconds(1)) == [])
        #expect(
            state.gone(generation: 1, now: .seconds(1))
                == [
                    .settle(job.ticket, .failed(.crash, reason: "its replies ended")),
                    .note(.crashed(generation: 1)), .spawn(slot: 0, generation: 3),
                    .note(.restarted(generation: 3)),
                ]
        )
    }

    @Test func `kills a worker that closes its replies and stays`() {
        var state = Self.ready(1)
        _ = state.submit(timeout: .seconds(10), now: .zero)
        _ = state.outputEnded(generation: 1, now: .seconds(1))
        #expect(state.tick(now: .seconds(2)) == [.kill(generation: 1)])
    }

    @Test func `gives back a job that crossed a BYE`() {
        var state = Self.ready(1)
        let job = state.submit(timeout: .seconds(10), now: .zero)
        #expect(
            state.saidBye(generation: 1, now: .seconds(1))
                == [.settle(job.ticket, .failed(.drained, reason: "the worker left instead of taking it"))]
        )
    }

    @Test func `replaces a worker after its share of jobs, give or take a fifth`() {
        var limits = Self.limits()
        limits.jobsPerWorker = 100
        for seed in UInt64(0)..<20 {
            var state = PoolState(size: 1, limits: limits, seed: seed)
            _ = state.start(now: .zero)
            _ = state.ready(generation: 1, canCancel: false, now: .zero)
            var jobs: UInt32 = 0
            var actions: [PoolState.Action] = []
            while !actions.contains(.askToLeave(generation: 1)), jobs < 200 {
                jobs += 1
                _ = state.submit(timeout: .seconds(1), now: .zero)
                actions = Self.reply(&state, 1, jobs, now: .zero)
            }
            #expect((80...120).contains(jobs), "seed \(seed)")
            #expect(state.gone(generation: 1, now: .zero).contains(.spawn(slot: 0, generation: 2)))
        }
    }

    @Test func `backs off from boots that fail, then opens the breaker, and closes it by a probe`() {
        var state = PoolState(size: 1, limits: Self.limits())
        _ = state.start(now: .zero)
        var now = Duration.zero
        for (generation, delay) in [(1, 100), (2, 200), (3, 400), (4, 800)] {
            #expect(
                state.gone(generation: generation, now: now) == [.note(.bootFailed(generation: generation))]
            )
            now += .milliseconds(delay)
            #expect(state.nextWake == now)
            #expect(state.tick(now: now).first == .spawn(slot: 0, generation: generation + 1))
        }
        let waiting = state.submit(timeout: .seconds(1), now: now)
        #expect(
            state.gone(generation: 5, now: now)
                == [
                    .note(.bootFailed(generation: 5)), .note(.breakerOpened),
                    .settle(waiting.ticket, .failed(.drained, reason: "no worker can be started")),
                ]
        )
        #expect(state.isBreakerOpen)
        let refused = state.submit(timeout: .seconds(1), now: now)
        #expect(
            refused.actions
                == [.settle(refused.ticket, .failed(.drained, reason: "no worker can be started"))]
        )
        #expect(state.nextWake == now + .seconds(30))
        now += .seconds(30)
        _ = state.tick(now: now)
        #expect(state.ready(generation: 6, canCancel: false, now: now) == [.note(.breakerClosed)])
        #expect(state.freeSlots == 1)
    }

    @Test func `drains: idle workers leave, busy ones have until the deadline`() {
        var state = Self.ready(2)
        let job = state.submit(timeout: .seconds(100), now: .zero)
        #expect(state.drain(until: .seconds(5), now: .seconds(1)) == [.askToLeave(generation: 2)])
        #expect(state.submit(timeout: .seconds(1), now: .seconds(1)).actions.count == 1)
        #expect(state.gone(generation: 2, now: .seconds(1)) == [])
        #expect(state.tick(now: .seconds(5)) == [.terminate(generation: 1)])
        #expect(
            state.gone(generation: 1, now: .seconds(6))
                == [.settle(job.ticket, .failed(.drained, reason: "it was asked to stop")), .allDown]
        )
    }

    @Test func `cancels a job that waits, and one that runs`() {
        var state = Self.ready(1, canCancel: true)
        let running = state.submit(timeout: .seconds(100), now: .zero)
        let waiting = state.submit(timeout: .seconds(100), now: .zero)
        #expect(
            state.cancel(waiting.ticket, now: .zero)
                == [.settle(waiting.ticket, .failed(.cancelled, reason: "cancelled before it ran"))]
        )
        #expect(
            state.cancel(running.ticket, now: .zero) == [.cancel(generation: 1, sequence: 1, .user)]
        )
        #expect(state.tick(now: .seconds(2)) == [.terminate(generation: 1)])
        #expect(
            state.gone(generation: 1, now: .seconds(2)).first
                == .settle(running.ticket, .failed(.cancelled, reason: "it did not stop when asked to"))
        )
    }
}
