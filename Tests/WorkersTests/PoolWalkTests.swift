import TestSupport
import Testing
import Workers

/// Processes as a random walk sees them: they boot, answer, crash, hang and break the protocol as the dice
/// fall.
private struct World {
    struct Worker {
        var isReady = false
        var job: (ticket: PoolState.Ticket, sequence: UInt32)?
        var isLeaving = false
        /// Ignores all but SIGKILL.
        var isDeaf = false
        /// Survives even that, until it is abandoned.
        var isStuck = false
        var mustDie = false
    }

    var state: PoolState
    var random: SplitMix
    var now = Duration.zero
    var alive: [Int: Worker] = [:]
    var open: Set<PoolState.Ticket> = []
    var settled = 0
    var submitted = 0
    var isDown = false
    var complaints: [String] = []

    init(seed: UInt64) {
        random = SplitMix(seed: seed)
        var limits = WorkerLimits()
        limits.jobsPerWorker = 5
        limits.waitingMax = 6
        state = PoolState(size: Int.random(in: 1...4, using: &random), limits: limits, seed: seed)
        carryOut(state.start(now: now))
    }

    mutating func carryOut(_ actions: [PoolState.Action]) {
        for action in actions {
            switch action {
            case .spawn(_, let generation):
                if alive[generation] != nil { complaints.append("generation \(generation) started twice") }
                alive[generation] = Worker(isDeaf: chance(10), isStuck: chance(50))
                if alive.count > state.size { complaints.append("\(alive.count) workers of \(state.size)") }
                if isDown { complaints.append("started after the end") }
            case .dispatch(let ticket, let generation, let sequence):
                guard var worker = alive[generation], worker.isReady, worker.job == nil, !worker.isLeaving
                else {
                    complaints.append("job for a worker that cannot take it")
                    continue
                }
                worker.job = (ticket, sequence)
                alive[generation] = worker
            case .askToLeave(let generation): alive[generation]?.isLeaving = true
            case .terminate(let generation):
                if alive[generation]?.isDeaf == false { alive[generation]?.mustDie = true }
            case .kill(let generation):
                if alive[generation]?.isStuck == false { alive[generation]?.mustDie = true }
            case .abandon(let generation): alive[generation] = nil
            case .settle(let ticket, _):
                settled += 1
                if open.remove(ticket) == nil { complaints.append("job \(ticket) settled twice") }
            case .allDown:
                if isDown || !alive.isEmpty { complaints.append("down with \(alive.count) workers") }
                isDown = true
            case .cancel, .ping, .note: break
            }
        }
    }

    mutating func chance(_ oneIn: Int) -> Bool { Int.random(in: 0..<oneIn, using: &random) == 0 }

    mutating func step() {
        now += .milliseconds(Int.random(in: 0...400, using: &random))
        if let wake = state.nextWake, wake <= now || chance(8) {
            now = max(now, wake)
            carryOut(state.tick(now: now))
            if let wake = state.nextWake, wake <= now { complaints.append("woken again and again") }
        }
        if chance(2) { submit() }
        if chance(20), let ticket = open.min() { carryOut(state.cancel(ticket, now: now)) }
        if chance(300) { carryOut(state.killAll(now: now)) }
        if let generation = alive.keys.sorted().randomElement(using: &random) { live(generation) }
    }

    mutating func submit() {
        let timeout = Duration.milliseconds(Int.random(in: 100...3000, using: &random))
        let (ticket, actions) = state.submit(timeout: timeout, now: now)
        open.insert(ticket)
        submitted += 1
        carryOut(actions)
    }

    /// Lets one worker do something.
    mutating func live(_ generation: Int) {
        guard let worker = alive[generation] else { return }
        if worker.mustDie || (worker.isLeaving && !worker.isDeaf) || chance(30) {
            if chance(2) { carryOut(state.outputEnded(generation: generation, now: now)) }
            alive[generation] = nil
            carryOut(state.gone(generation: generation, now: now))
        } else if !worker.isReady {
            alive[generation]?.isReady = true
            carryOut(state.ready(generation: generation, canCancel: chance(2), now: now))
        } else if chance(40) {
            carryOut(state.violated(generation: generation, reason: "nonsense", now: now))
        } else if chance(40) {
            alive[generation]?.isLeaving = true
            carryOut(state.saidBye(generation: generation, now: now))
        } else if let job = worker.job {
            let causes: [FailureCause?] = [.error, .permanent, .cancelled, nil, nil, nil, nil, nil]
            let failure = causes[Int.random(in: 0..<causes.count, using: &random)]
            alive[generation]?.job = nil
            carryOut(
                state.reply(
                    generation: generation,
                    sequence: job.sequence,
                    isTokenRight: true,
                    failure: failure,
                    residentBytes: nil,
                    now: now
                )
            )
        }
    }

    /// Drains; with every process behaving as the signals ask, the pool must come to rest.
    mutating func end() {
        carryOut(state.drain(until: now + .seconds(3), now: now))
        var rounds = 0
        while !isDown, rounds < 1000 {
            rounds += 1
            for generation in alive.keys.sorted() where alive[generation]?.mustDie == true {
                alive[generation] = nil
                carryOut(state.gone(generation: generation, now: now))
            }
            guard let wake = state.nextWake else { break }
            now = max(now, wake)
            carryOut(state.tick(now: now))
        }
        if !isDown { complaints.append("never came to rest") }
        if !open.isEmpty { complaints.append("\(open.count) jobs never settled") }
    }
}

@Suite struct `Pool state, walked at random` {
    @Test func `never has too many workers and settles each job exactly once`() {
        var settled = 0
        for seed in UInt64(0)..<300 {
            var world = World(seed: seed)
            for _ in 0..<400 { world.step() }
            world.end()
            #expect(world.complaints == [], "seed \(seed)")
            #expect(world.settled == world.submitted, "seed \(seed)")
            settled += world.settled
        }
        #expect(settled > 10_000, "the walks must get somewhere")
    }
}
