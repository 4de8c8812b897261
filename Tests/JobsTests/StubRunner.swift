import Events
import Jobs
import Reactor
import Workers

/// Runs jobs in the test's own process, the way it is told to.
actor StubRunner: JobRunner {
    private let slots: Int
    private let behave: @Sendable (WorkerJob) async -> WorkerOutcome
    private var running = 0
    private var waiters: [CheckedContinuation<Void, Never>] = []
    private(set) var wasKilled = false
    private(set) var jobsRun = 0

    init(slots: Int = 2, _ behave: @escaping @Sendable (WorkerJob) async -> WorkerOutcome = StubRunner.rollup)
    {
        self.slots = slots
        self.behave = behave
    }

    /// What the built-in worker does.
    static let rollup: @Sendable (WorkerJob) async -> WorkerOutcome = { job in
        do throws(JobBodyError) {
            return .result(encoding: RollupKind.encoding, body: try RollupKind().run(job.body.span))
        } catch {
            return .failed(cause: .permanent, message: error.description)
        }
    }

    func run(_ job: WorkerJob) async -> WorkerOutcome {
        running += 1
        jobsRun += 1
        let outcome = await behave(job)
        running -= 1
        wakeAll()
        return outcome
    }

    var freeSlots: Int { max(0, slots - running) }
    var workersUp: Int { slots }

    func freed() async {
        if freeSlots > 0 { return }
        await withCheckedContinuation { waiters.append($0) }
    }

    func drain(deadline: Deadline) async { wakeAll() }

    func killAll() async { wasKilled = true }

    private func wakeAll() {
        for waiter in waiters { waiter.resume() }
        waiters = []
    }
}

/// Real workers, one of whose processes dies of SEGV on every body that holds the word.
struct PoisonedPool: JobRunner {
    let pool: WorkerPool
    let word: String

    func run(_ job: WorkerJob) async -> WorkerOutcome {
        var job = job
        if String(decoding: job.body, as: UTF8.self).contains(word) {
            job.kind = "fault"
            job.parameters = ["mode": .string("segv")]
        }
        return await pool.run(job)
    }

    var freeSlots: Int { get async { await pool.freeSlots } }
    var workersUp: Int { get async { await pool.workersUp } }
    func freed() async { await pool.freed() }
    func drain(deadline: Deadline) async { await pool.drain(deadline: deadline) }
    func killAll() async { await pool.killAll() }
}
