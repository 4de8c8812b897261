import HeapModule
import Reactor
import TestSupport

/// The scheduler of a simulation: all loops, all that happens at a certain time, and one source of chance.
///
/// It lets the jobs of all loops run one at a time on the calling thread, in an order that chance decides
/// between loops and that is theirs within each, as threads do it; when none has a job, time goes on to the
/// next timer or event. So a walk is a function of its seed.
///
/// All of a simulation runs on one thread, which is what makes its classes Sendable.
final class World: @unchecked Sendable {
    let seed: UInt64
    let simulated: SimulatedWorld
    var random: SplitMix
    private(set) var trace = Trace()
    private(set) var steps = 0
    private var loops: [StagedLoop] = []
    private var events = Heap<Event>()
    private var eventsAdded = 0
    private var stepsAtMoment = 0
    /// Is called after each job, with the owner of the loop.
    var afterStep: (Owner) -> Void = { _ in }

    /// One node's life, or the clients.
    typealias Owner = Int

    private final class StagedLoop {
        let loop: EventLoop
        let owner: Owner
        var pausedUntil: Deadline?

        init(_ loop: EventLoop, owner: Owner) {
            self.loop = loop
            self.owner = owner
        }
    }

    private struct Event: Comparable {
        let due: Deadline
        let order: Int
        let body: () -> Void

        static func < (left: Event, right: Event) -> Bool {
            (left.due, left.order) < (right.due, right.order)
        }
        static func == (left: Event, right: Event) -> Bool { left.order == right.order }
    }

    private static let start = Deadline(nanoseconds: 1_000_000_000_000)
    /// More jobs than this without any time going by: something waits by asking again and again.
    private static let stepsAtMomentMax = 20_000

    init(seed: UInt64) {
        self.seed = seed
        random = SplitMix(seed: seed)
        simulated = SimulatedWorld(now: Self.start, seed: random.next())
    }

    var now: Deadline { simulated.now }

    /// Since the walk began.
    var elapsed: Duration { now.duration(since: Self.start) }

    // MARK: Chance

    /// True once in so many times; never for 0.
    func chance(oneIn count: Int) -> Bool { count > 0 && number(in: 0..<count) == 0 }

    func number(in range: Range<Int>) -> Int { Int.random(in: range, using: &random) }

    func duration(milliseconds range: ClosedRange<Int>) -> Duration {
        .microseconds(Int.random(in: range.lowerBound * 1_000...range.upperBound * 1_000, using: &random))
    }

    // MARK: What happens

    func note(_ line: String) { trace.note(line, at: elapsed) }

    func at(_ due: Deadline, _ body: @escaping () -> Void) {
        eventsAdded += 1
        events.insert(Event(due: due, order: eventsAdded, body: body))
    }

    func after(_ duration: Duration, _ body: @escaping () -> Void) { at(now.advanced(by: duration), body) }

    /// Makes a loop whose jobs this world runs.
    func makeLoop(of owner: Owner) throws -> EventLoop {
        let loop = try EventLoop()
        loops.append(StagedLoop(loop, owner: owner))
        return loop
    }

    /// Forgets the loops of an owner that has ended.
    func removeLoops(of owner: Owner) { loops.removeAll { $0.owner == owner } }

    /// Lets an owner's loops stand still, as SIGSTOP does.
    func pause(_ owner: Owner, for duration: Duration) {
        for loop in loops where loop.owner == owner { loop.pausedUntil = now.advanced(by: duration) }
    }

    // MARK: The walk

    /// Goes on until `isOver`.
    ///
    /// - Throws: ``Stuck`` when nothing can happen any more, time does not go on, or `end` is reached.
    func run(until end: Duration, or isOver: () -> Bool) throws {
        let end = Self.start.advanced(by: end)
        while !isOver() {
            let ready = loops.filter { ($0.pausedUntil ?? now) <= now && $0.loop.hasJob }
            if ready.isEmpty {
                try advance(to: nextMoment(), end: end)
            } else {
                // Jobs take their time now and then.
                if chance(oneIn: 50) {
                    try advance(to: now.advanced(by: duration(milliseconds: 0...2)), end: end)
                }
                try step(ready[number(in: 0..<ready.count)])
            }
        }
    }

    private func step(_ staged: StagedLoop) throws {
        steps += 1
        stepsAtMoment += 1
        if stepsAtMoment > Self.stepsAtMomentMax {
            throw Stuck(reason: "jobs run on and on, and no time goes by")
        }
        trace.mix(UInt64(bitPattern: Int64(staged.owner)))
        _ = staged.loop.runNextJob()
        afterStep(staged.owner)
    }

    /// Whether nothing will happen any more.
    var isIdle: Bool { nextMoment() == nil }

    private func nextMoment() -> Deadline? {
        var next = events.min?.due
        for staged in loops {
            guard let due = staged.loop.hasJob ? now : staged.loop.nextTimer else { continue }
            let moment = max(due, staged.pausedUntil ?? due)
            next = min(next ?? moment, moment)
        }
        return next
    }

    private func advance(to moment: Deadline?, end: Deadline) throws {
        guard let moment else { throw Stuck(reason: "nothing will ever happen again") }
        if moment > end { throw Stuck(reason: "it is not over in time") }
        if moment > now { stepsAtMoment = 0 }
        simulated.now = max(moment, now)
        while let event = events.min, event.due <= now {
            events.removeMin()
            event.body()
        }
        for staged in loops where (staged.pausedUntil ?? now) <= now { staged.loop.expireTimers(at: now) }
    }
}

/// A walk that does not come to its end.
struct Stuck: Error {
    let reason: String
}
