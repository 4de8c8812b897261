import Glibc
import TestSupport

/// What is done to the installation of one round, and when: all of it drawn from the round's seed.
///
/// The seed fixes the faults, their moments and what is sent, not how the processes' steps fall between each
/// other: a seed that has failed fails again as a rule, and not always.
struct ChaosPlan: Sendable, CustomStringConvertible {
    /// Whose PostgreSQL it is, and what the round is about.
    enum Kind: String, Sendable {
        /// One service, a database of its own beside it, anything at any time.
        case external
        /// One service that is never killed, and clients who wait for every answer: all counts are known.
        case patient
        /// One service with the database that it made itself and has to keep alive.
        case embedded
        /// Two services, the first of them stopped until the other has buried it, and then continued.
        case lease
        /// Two services on a PostgreSQL that stands still for longer than a flush is tried.
        case frozen
        /// Two services that cannot reach PostgreSQL for as long.
        case parted
    }

    /// Which of a service's sessions are ended.
    enum Sessions: String, CaseIterable, Sendable {
        case writers = "% writer-%"
        case applier = "% applier"
        case queue = "% queue"
        case lease = "% lease"
        case all = "%"
    }

    enum Fault: Sendable {
        /// SIGKILL, and a start after the pause.
        case killService(node: Int, down: Duration)
        /// SIGTERM, and a start after the pause.
        case endService(node: Int, down: Duration)
        /// SIGSTOP, and SIGCONT after the pause.
        case stopService(node: Int, pause: Duration)
        /// SIGKILL of the postmaster alone: its sessions find out by themselves.
        case killPostmaster
        /// SIGTERM of the postmaster, which then only waits for its sessions, and after the pause SIGINT.
        case endPostgres(pause: Duration)
        /// SIGKILL of PostgreSQL's processes, all at once.
        case killPostgres
        /// The same, and the service at the same moment.
        case killAll(node: Int)
        /// `pg_ctl restart`: with SIGQUIT `-m immediate`, with SIGINT `-m fast`.
        case restartPostgres(signal: CInt)
        /// SIGSTOP of all of PostgreSQL's processes, and SIGCONT after the pause.
        case freezePostgres(pause: Duration)
        /// SIGSTOP of the sessions that write, and SIGCONT after the pause.
        case stopWriters(pause: Duration)
        /// SIGTERM, by `pg_terminate_backend`.
        case endSessions(Sessions)
        /// SIGKILL of one of them, upon which PostgreSQL ends all others and recovers.
        case killSession(Sessions)
        /// PostgreSQL gets what the services send; its answers are lost, and then the connections.
        case loseAnswers(pause: Duration)
        /// One transaction is carried out, and nobody hears of it.
        case loseOutcome(ChaosLink.Ending)
        /// No connection between the services and PostgreSQL.
        case part(pause: Duration)
        case killWorker(node: Int)
        case endWorker(node: Int)
        case stopWorker(node: Int, pause: Duration)
    }

    struct Step: Sendable, CustomStringConvertible {
        /// Whether the service has to have answered since the step before: otherwise it may well be down.
        var awaitsAnswer = false
        /// Since the step before, or since that answer.
        var after: Duration
        var fault: Fault

        var description: String { "\(awaitsAnswer ? "an answer, " : "")\(after.seconds) s, \(fault)" }
    }

    let seed: UInt64
    let kind: Kind
    let steps: [Step]
    let senders: Int

    /// Whether one fault alone takes half a minute.
    var isLong: Bool { kind == .lease || kind == .frozen || kind == .parted }
    /// Whether clients wait for every answer, and never hang up.
    var isPatient: Bool { kind == .patient }
    var nodes: Int { isLong ? 2 : 1 }

    init(seed: UInt64) {
        self.seed = seed
        var random = SplitMix(seed: seed)
        senders = Int.random(in: 4...8, using: &random)
        var draw = ChaosDraw(random: random)
        switch seed % 8 {
        case 1:
            kind = .external
            steps = draw.anything(count: 4...7, hasLink: true)
        case 5, 7:
            kind = .patient
            steps = draw.harmlessToTheService(count: 8...12)
        case 2, 6:
            kind = .embedded
            steps = draw.anything(count: 4...7, hasLink: false)
        case 3:
            kind = .lease
            // The other node needs a TTL of beats before it buries, the stopped one a TTL without: 15 s, and
            // 5 s until the next look.
            let pause = draw.duration(21_000...24_000)
            steps = draw.harmlessToLeases(during: .stopService(node: 0, pause: pause), count: 2...5)
        case 4:
            kind = .frozen
            let pause = draw.duration(31_000...34_000)
            steps = draw.harmlessToLeases(during: .freezePostgres(pause: pause), count: 2...5)
        default:
            kind = .parted
            let pause = draw.duration(31_000...34_000)
            steps = draw.harmlessToLeases(during: .part(pause: pause), count: 2...5)
        }
    }

    var description: String {
        let faults = steps.map { "\n    \($0)" }.joined()
        return "seed \(seed): \(kind.rawValue), \(senders) senders\(faults)"
    }
}

extension ChaosPlan.Fault: CustomStringConvertible {
    var description: String {
        switch self {
        case .killService(let node, let down): "SIGKILL of service \(node), down for \(down.seconds) s"
        case .endService(let node, let down): "SIGTERM of service \(node), down for \(down.seconds) s"
        case .stopService(let node, let pause): "SIGSTOP of service \(node) for \(pause.seconds) s"
        case .killPostmaster: "SIGKILL of the postmaster"
        case .endPostgres(let pause): "SIGTERM of the postmaster, and SIGINT after \(pause.seconds) s"
        case .killPostgres: "SIGKILL of PostgreSQL's processes"
        case .killAll(let node): "SIGKILL of PostgreSQL's processes and of service \(node)"
        case .restartPostgres(let signal): signal == SIGQUIT ? "immediate restart" : "fast restart"
        case .freezePostgres(let pause): "SIGSTOP of PostgreSQL's processes for \(pause.seconds) s"
        case .stopWriters(let pause): "SIGSTOP of the writers' sessions for \(pause.seconds) s"
        case .endSessions(let sessions): "SIGTERM of sessions: \(sessions)"
        case .killSession(let sessions): "SIGKILL of a session: \(sessions)"
        case .loseAnswers(let pause): "loss of PostgreSQL's answers for \(pause.seconds) s"
        case .loseOutcome(let ending): "loss of the outcome of \(ending == .insert ? "an" : "a") \(ending)"
        case .part(let pause): "no way to PostgreSQL for \(pause.seconds) s"
        case .killWorker(let node): "SIGKILL of a worker of service \(node)"
        case .endWorker(let node): "SIGTERM of a worker of service \(node)"
        case .stopWorker(let node, let pause):
            "SIGSTOP of a worker of service \(node) for \(pause.seconds) s"
        }
    }
}

extension Duration {
    /// In seconds, to the millisecond.
    var seconds: Double {
        let milliseconds = self / .milliseconds(1)
        return milliseconds.rounded() / 1_000
    }
}

/// Draws faults.
private struct ChaosDraw {
    var random: SplitMix

    mutating func duration(_ milliseconds: ClosedRange<Int>) -> Duration {
        .milliseconds(Int.random(in: milliseconds, using: &random))
    }

    mutating func anything(count: ClosedRange<Int>, hasLink: Bool) -> [ChaosPlan.Step] {
        let count = Int.random(in: count, using: &random)
        var deaths = 0
        return (0..<count).map { _ in
            var fault = anyFault(hasLink: hasLink)
            // A job that is lost with its node five times over is given up, and rightly so.
            while fault.isDeath && deaths == 4 { fault = anyFault(hasLink: hasLink) }
            if fault.isDeath { deaths += 1 }
            // Faults on top of faults, too.
            let awaitsAnswer = Int.random(in: 0..<4, using: &random) > 0 || fault.isCrash
            let after = duration(fault.isCrash ? 0...5 : 0...1_000)
            return ChaosPlan.Step(awaitsAnswer: awaitsAnswer, after: after, fault: fault)
        }
    }

    private mutating func anyFault(hasLink: Bool) -> ChaosPlan.Fault {
        switch Int.random(in: 0..<(hasLink ? 28 : 22), using: &random) {
        case 0, 1, 2: .killService(node: 0, down: duration(0...600))
        case 3: .endService(node: 0, down: duration(0...600))
        case 4, 5: .stopService(node: 0, pause: duration(50...2_500))
        case 6: .killPostmaster
        case 7, 8: .killPostgres
        case 9: .killAll(node: 0)
        case 10: .restartPostgres(signal: SIGQUIT)
        case 11: .restartPostgres(signal: SIGINT)
        case 12: .endPostgres(pause: duration(50...1_000))
        case 13: .freezePostgres(pause: duration(50...2_500))
        case 14: .stopWriters(pause: duration(50...2_000))
        case 15, 16: .endSessions(anySessions())
        case 17: .killSession(anySessions())
        case 18, 19: .killWorker(node: 0)
        case 20: .endWorker(node: 0)
        case 21: .stopWorker(node: 0, pause: duration(50...3_000))
        case 22, 23: .loseAnswers(pause: duration(20...400))
        case 24, 25, 26: .loseOutcome(anyEnding())
        default: .part(pause: duration(50...2_000))
        }
    }

    private mutating func anySessions() -> ChaosPlan.Sessions {
        ChaosPlan.Sessions.allCases.randomElement(using: &random) ?? .all
    }

    private mutating func anyEnding() -> ChaosLink.Ending {
        ChaosLink.Ending.allCases.randomElement(using: &random) ?? .commit
    }

    /// What the service gets over without losing what it has in memory: half of it are lost answers.
    mutating func harmlessToTheService(count: ClosedRange<Int>) -> [ChaosPlan.Step] {
        let count = Int.random(in: count, using: &random)
        return (0..<count).map { _ in
            let fault: ChaosPlan.Fault =
                switch Int.random(in: 0..<19, using: &random) {
                case 0, 1, 2: .loseAnswers(pause: duration(20...400))
                case 3, 4, 5, 6, 7, 8: .loseOutcome(anyEnding())
                case 9: .part(pause: duration(50...1_000))
                case 10, 11: .endSessions(anySessions())
                case 12: .killSession(anySessions())
                case 13: .killPostgres
                case 14: .freezePostgres(pause: duration(50...1_500))
                case 15: .stopWriters(pause: duration(50...1_500))
                case 16: .stopService(node: 0, pause: duration(50...1_500))
                case 17: .endService(node: 0, down: duration(0...600))
                default: .killWorker(node: 0)
                }
            let after = duration(fault.isCrash ? 0...5 : 0...700)
            return ChaosPlan.Step(awaitsAnswer: true, after: after, fault: fault)
        }
    }

    /// A long fault, and meanwhile others that keep nobody from beating.
    mutating func harmlessToLeases(
        during long: ChaosPlan.Fault,
        count: ClosedRange<Int>
    ) -> [ChaosPlan.Step] {
        let count = Int.random(in: count, using: &random)
        let first = ChaosPlan.Step(awaitsAnswer: true, after: duration(500...2_500), fault: long)
        return [first]
            + (0..<count).map { _ in
                let node = Int.random(in: 0...1, using: &random)
                let fault: ChaosPlan.Fault =
                    switch Int.random(in: 0..<5, using: &random) {
                    case 0: .endSessions(.writers)
                    case 1: .endSessions(.applier)
                    case 2: .stopWriters(pause: duration(50...2_000))
                    case 3: .killWorker(node: node)
                    default: .stopWorker(node: node, pause: duration(50...3_000))
                    }
                return ChaosPlan.Step(after: duration(200...12_000), fault: fault)
            }
    }
}

extension ChaosPlan.Fault {
    /// Whether PostgreSQL loses all that it has in memory: done right behind an answer, for what was answered
    /// and is not written yet is soon written with what comes next.
    fileprivate var isCrash: Bool {
        switch self {
        case .killPostgres, .killAll: true
        default: false
        }
    }

    /// Whether a service loses all that it has in memory.
    fileprivate var isDeath: Bool {
        switch self {
        case .killService, .killAll: true
        default: false
        }
    }
}
