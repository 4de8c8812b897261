import Reactor
import TestSupport

/// One of the clients of a round: sends events in every form there is, some of them again on purpose, and
/// again whatever was not answered, until all of its events are acknowledged.
struct ChaosSender {
    enum Form: CaseIterable, Sendable {
        case single
        case array
        /// An array that is stored as a whole.
        case atomic
        /// An array whose end never comes.
        case cutArray
        case lines
        /// Lines whose answer streams as well.
        case acknowledgedLines
        /// The same array at once over two connections.
        case twins
    }

    let number: Int
    let field: ChaosField
    var random: SplitMix
    private var made = 0
    /// Valid or not, to be sent again.
    private var unanswered: [ChaosEvent] = []
    /// Stored for certain; some are sent again on purpose.
    private var known: [ChaosEvent] = []

    private static let knownMax = 200
    private static let settleMax = Duration.seconds(90)

    init(_ number: Int, field: ChaosField) {
        self.number = number
        self.field = field
        random = SplitMix(seed: field.plan.seed &* 1_000 &+ UInt64(number))
    }

    /// Sends until it is over, and then until nothing is left unanswered.
    mutating func run() async {
        while await !field.over.isSet { await visit(onlyAgain: false) }
        let deadline = Deadline.after(Self.settleMax)
        while !unanswered.isEmpty {
            if Deadline.now() >= deadline {
                let marks = unanswered.prefix(3).map(\.mark)
                field.ledger.complain("\(unanswered.count) events are refused for good, like \(marks)")
                return
            }
            await visit(onlyAgain: true)
        }
    }

    /// Sends some requests over one connection, as long as it lasts.
    private mutating func visit(onlyAgain: Bool) async {
        guard let target = await field.target(&random) else {
            await field.loop.sleep(for: .milliseconds(20))
            return
        }
        do {
            try await WireConnection.with(port: target.port, on: field.loop) { connection in
                for _ in 0..<Int.random(in: 1...25, using: &random) {
                    if await onlyAgain ? unanswered.isEmpty : field.over.isSet { return }
                    guard await sendOne(over: connection, target, onlyAgain: onlyAgain) else { return }
                    await field.loop.sleep(
                        for: .milliseconds(Int.random(in: 0...field.pauseMax, using: &random))
                    )
                }
            }
        } catch {
            await field.loop.sleep(for: .milliseconds(20))
        }
    }

    // MARK: Requests

    /// Returns whether the connection can go on.
    private mutating func sendOne(
        over connection: WireConnection,
        _ target: ChaosField.Target,
        onlyAgain: Bool
    ) async -> Bool {
        let form = onlyAgain ? .lines : drawForm()
        let events = compose(form, onlyAgain: onlyAgain)
        var again = Set(known.map(\.mark))
        let outcome: ChaosRequest.Outcome
        if form == .twins {
            outcome = await sendTwins(events, over: connection, target)
        } else {
            let request = ChaosRequest(form, events, field, target, random.next())
            outcome = await request.send(over: connection)
        }
        for event in events[..<outcome.acknowledged] where event.isValid && event.hasIdentity {
            if known.count < Self.knownMax {
                known.append(event)
            } else {
                known[Int.random(in: 0..<known.count, using: &random)] = event
            }
        }
        for event in events[outcome.acknowledged...] where again.insert(event.mark).inserted {
            unanswered.append(event)
        }
        return outcome.isWhole
    }

    private mutating func drawForm() -> Form {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<45: .single
        case 45..<63: .array
        case 63..<67: .atomic
        case 67..<70: field.plan.isPatient ? .array : .cutArray
        case 70..<84: .lines
        case 84..<94: .acknowledgedLines
        default: .twins
        }
    }

    private mutating func compose(_ form: Form, onlyAgain: Bool) -> [ChaosEvent] {
        let size =
            switch form {
            case .single: 1
            case .array, .atomic, .cutArray, .twins: Int.random(in: 2...40, using: &random)
            case .lines: Int.random(in: 10...300, using: &random)
            case .acknowledgedLines: Int.random(in: 50...1_500, using: &random)
            }
        let isPlain = form == .twins || form == .atomic
        var events: [ChaosEvent] = []
        if !isPlain {
            events = Array(unanswered.prefix(size))
            unanswered.removeFirst(events.count)
            if onlyAgain { return events }
            for _ in 0..<(size / 10) {
                if let event = known.randomElement(using: &random) { events.append(event) }
            }
            if form == .single, events.isEmpty, Int.random(in: 0..<10, using: &random) == 0 {
                events = known.randomElement(using: &random).map { [$0] } ?? []
            }
        }
        while events.count < size {
            let event = makeEvent()
            // These are told apart by their counts alone.
            if !isPlain || event.isValid && event.hasIdentity { events.append(event) }
        }
        return events.shuffled(using: &random)
    }

    private mutating func makeEvent() -> ChaosEvent {
        made += 1
        let mark = "\(field.plan.seed)-\(number)-\(made)"
        return ChaosEvent.make(mark, now: WallClock.microseconds(), &random)
    }

    /// New events over two connections, perhaps to two services: one of them stores each.
    private mutating func sendTwins(
        _ events: [ChaosEvent],
        over connection: WireConnection,
        _ target: ChaosField.Target
    ) async -> ChaosRequest.Outcome {
        let (seed, otherSeed) = (random.next(), random.next())
        let other = await field.target(&random) ?? target
        let field = field
        async let second = Self.sendTwin(ChaosRequest(.twins, events, field, other, otherSeed))
        let one = await ChaosRequest(.twins, events, field, target, seed).send(over: connection)
        let two = await second
        if let stored = one.stored, let rest = two.stored, stored + rest != events.count {
            field.ledger.complain("twins of \(events[0].mark) were stored \(stored) + \(rest) times")
        }
        return ChaosRequest.Outcome(
            acknowledged: max(one.acknowledged, two.acknowledged),
            isWhole: one.isWhole
        )
    }

    private static func sendTwin(_ request: ChaosRequest) async -> ChaosRequest.Outcome {
        do {
            return try await WireConnection.with(port: request.target.port, on: request.field.loop) {
                await request.send(over: $0)
            }
        } catch {
            return ChaosRequest.Outcome()
        }
    }
}

/// Where the senders of a round meet their services.
struct ChaosField: Sendable {
    struct Target: Sendable {
        let node: Int
        let port: UInt16
    }

    let plan: ChaosPlan
    let nodes: [ChaosNode]
    let ledger: ChaosLedger
    let loop: EventLoop
    let began: Deadline
    let over: Flag

    /// How long a client waits.
    var answerMax: Duration { plan.isPatient ? .seconds(30) : .milliseconds(2_500) }

    var now: Duration { Deadline.now().duration(since: began) }

    /// The longest pause between two requests, in milliseconds: a long round sends no more than a short one.
    var pauseMax: Int { plan.isLong ? 300 : 30 }

    /// One of the services that listen.
    func target(_ random: inout SplitMix) async -> Target? {
        var targets: [Target] = []
        for node in nodes {
            if let service = await node.service {
                targets.append(Target(node: node.number, port: service.port))
            }
        }
        return targets.randomElement(using: &random)
    }
}
