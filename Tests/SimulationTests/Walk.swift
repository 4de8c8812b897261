import Reactor
import TestSupport

@testable import Ingest
@testable import Spool

/// One walk: nodes, a database and clients, a time in which anything fails, and a time in which nothing does.
final class Walk: @unchecked Sendable {
    struct Outcome {
        let seed: UInt64
        var findings: [String] = []
        let trace: Trace
        let steps: Int
        let acknowledged: Int
        let spooled: Int
        let failed: Int
        let stored: Int
        let crashes: Int
        let elapsed: Duration
    }

    private let world: World
    private let server: ModelPostgres
    private let book: Book
    private let nodes: [SimulatedNode]
    private var clients: [SimulatedClient] = []
    private var isQuiet = false
    private var isEnding = false
    private var crashes = 0
    private var findings: [String] = []
    /// Jobs of each node until it dies in the middle of something.
    private var jobsUntilDeath: [Int: Int] = [:]
    private let diskFaults: ModelDisk.Faults
    private let mayLosePower: Bool

    /// How long faults last, and how long afterwards all must have come to an end.
    private let faultsEnd: Duration
    private static let patience = Duration.seconds(1_200)

    init(seed: UInt64) {
        let world = World(seed: seed)
        self.world = world
        let server = ModelPostgres(world)
        self.server = server
        book = Book(world)
        let hasSpool = !world.chance(oneIn: 6)
        nodes = (0..<world.number(in: 1..<4)).map {
            SimulatedNode($0, world, server, hasSpool: hasSpool)
        }
        faultsEnd = world.duration(milliseconds: 3_000...30_000)
        mayLosePower = world.chance(oneIn: 2)
        var faults = ModelDisk.Faults()
        if world.chance(oneIn: 3) { faults.errorOneIn = world.number(in: 10..<80) }
        if world.chance(oneIn: 4) {
            faults.roomBytes = world.number(in: 0..<6) * NodeLife.spoolLimits.segmentBytes
        }
        diskFaults = faults
    }

    /// Takes the walk of a seed, of which nothing is left afterwards: its loops have descriptors.
    static func take(seed: UInt64) -> Outcome {
        var walk = Optional(Walk(seed: seed))
        weak let world = walk?.world
        guard var outcome = walk?.run() else { preconditionFailure("a walk was made") }
        walk = nil
        // One that did not come to its end has tasks that never will.
        if world != nil, outcome.findings.isEmpty { outcome.findings.append("it leaves something behind") }
        return outcome
    }

    private func run() -> Outcome {
        world.simulated.run {
            do {
                try begin()
                try world.run(until: faultsEnd + Self.patience) { isOver }
                try end()
            } catch {
                findings.append("it does not end: \(error)")
            }
        }
        defer { letGo() }
        return Outcome(
            seed: world.seed,
            findings: findings + book.findings,
            trace: world.trace,
            steps: world.steps,
            acknowledged: book.acknowledged,
            spooled: book.spooled,
            failed: book.failed,
            stored: server.tables.events.count,
            crashes: crashes,
            elapsed: world.elapsed
        )
    }

    /// What holds this walk lets go of it.
    private func letGo() {
        world.afterStep = { _ in }
        for node in nodes { node.onEnd = {} }
        clients = []
        server.letGo()
    }

    // MARK: The course of it

    private func begin() throws {
        let loop = try world.makeLoop(of: -1)
        world.afterStep = { [self] in afterStep(of: $0) }
        drawFaults()
        for node in nodes {
            node.onEnd = { [self, unowned node] in if !isEnding { startLater(node) } }
            start(node)
        }
        clients = (0..<world.number(in: 2..<6)).map { [self] _ in
            SimulatedClient(
                world,
                on: loop,
                nodes: nodes,
                book: book,
                deliveries: world.number(in: 3..<16),
                isQuiet: { [self] in isQuiet }
            )
        }
        // Each ends when all that it has sent is acknowledged.
        for client in clients { Task(executorPreference: loop) { await client.run() } }
        world.after(faultsEnd) { [self] in
            world.note("all faults are over")
            isQuiet = true
            server.faults = ModelPostgres.Faults()
            server.become(.up)
            jobsUntilDeath = [:]
            for node in nodes { node.disk.set(ModelDisk.Faults()) }
        }
    }

    /// All is acknowledged, and nothing is left to be drained.
    private var isOver: Bool {
        guard findings.isEmpty, book.findings.isEmpty, server.imbalance == nil else { return true }
        return isQuiet && book.open == 0 && clients.allSatisfy(\.isDone)
            && nodes.allSatisfy { node in
                guard let life = node.life, life.state == .serving else { return false }
                return life.spool?.facts.events ?? 0 == 0 && life.ingestor?.pendingBytes == 0
            }
    }

    private func end() throws {
        if let imbalance = server.imbalance { findings.append(imbalance) }
        if !findings.isEmpty || !book.findings.isEmpty { return }
        isEnding = true
        for node in nodes { node.stop() }
        // Until the last of the dead has been buried.
        try world.run(until: faultsEnd + Self.patience * 2) { world.isIdle }
        if let imbalance = server.imbalance { findings.append(imbalance) }
        book.compare(with: server.tables, handedOn: nodes.flatMap(\.handedOn))
    }

    // MARK: Faults

    private func drawFaults() {
        if world.chance(oneIn: 10) { return }
        func rate() -> Int { world.chance(oneIn: 2) ? 0 : world.number(in: 5..<150) }
        server.faults.lostQuery = rate()
        server.faults.lostAnswer = rate()
        server.faults.hang = rate()
        server.faults.error = rate()
        server.faults.refusedSession = world.chance(oneIn: 2) ? 0 : world.number(in: 2..<10)
        server.faults.slownessMilliseconds = world.chance(oneIn: 4) ? 200 : 2
        for _ in 0..<world.number(in: 0..<5) {
            world.after(someMoment()) { [self] in breakServer() }
        }
        for node in nodes {
            for _ in 0..<world.number(in: 0..<4) {
                world.after(someMoment()) { [self] in strike(node) }
            }
        }
    }

    private func someMoment() -> Duration { faultsEnd * Double(world.number(in: 0..<1_000)) / 1_000 }

    private func breakServer() {
        if isQuiet { return }
        let outage = world.duration(milliseconds: 10...(world.chance(oneIn: 3) ? 20_000 : 1_500))
        switch world.number(in: 0..<4) {
        case 0: server.become(.readOnly)
        case 1: server.become(.stalled(until: world.now.advanced(by: outage)))
        default: server.crash()
        }
        world.after(outage) { [self] in if !isQuiet { server.become(.up) } }
    }

    private func strike(_ node: SimulatedNode) {
        if isQuiet { return }
        switch world.number(in: 0..<6) {
        case 0: node.pause(for: world.duration(milliseconds: 100...(world.chance(oneIn: 2) ? 25_000 : 6_000)))
        case 1:
            var faults = diskFaults
            faults.callsLeft = world.number(in: 0..<40)
            node.disk.set(faults)
        case 2: node.stop()
        default: jobsUntilDeath[node.number] = world.number(in: 0..<60)
        }
    }

    private func start(_ node: SimulatedNode) {
        node.start(faults: isQuiet ? ModelDisk.Faults() : diskFaults)
    }

    /// An init system's work.
    private func startLater(_ node: SimulatedNode) {
        world.after(world.duration(milliseconds: 50...(world.chance(oneIn: 4) ? 30_000 : 1_500))) { [self] in
            if node.life == nil { start(node) }
        }
    }

    // MARK: After each job

    private func afterStep(of owner: World.Owner) {
        for node in nodes {
            guard let life = node.life else { continue }
            if node.disk.isOff {
                kill(node, losingPower: true)
            } else if life.epoch == owner, let left = jobsUntilDeath[node.number] {
                jobsUntilDeath[node.number] = left - 1
                if left <= 0 { kill(node, losingPower: mayLosePower && world.chance(oneIn: 2)) }
            }
        }
        if owner >= 0 { checkBounds(of: owner) }
    }

    private func kill(_ node: SimulatedNode, losingPower: Bool) {
        jobsUntilDeath[node.number] = nil
        crashes += 1
        node.kill(losingPower: losingPower)
    }

    private func checkBounds(of owner: World.Owner) {
        guard let node = nodes.first(where: { $0.life?.epoch == owner }), let life = node.life else { return }
        if let pending = life.ingestor?.pendingBytes, pending > NodeLife.batchLimits.pendingBytesMax {
            findings.append("the queue of node \(node.number) holds \(pending) bytes")
        }
        // Now and then: a look inside takes long.
        if world.steps % 32 == 0, let ingestor = life.ingestor {
            let keys = Self.keysRemembered(by: ingestor)
            if keys == nil || keys ?? 0 > 2 * NodeLife.recentKeysMax {
                findings.append("node \(node.number) remembers \(keys ?? -1) keys")
            }
        }
        if let spool = life.spool {
            let bytes = max(spool.facts.bytes, node.disk.bytes - SpoolCursor.fileBytes)
            if bytes > NodeLife.spoolLimits.bytesMax {
                findings.append("the spool of node \(node.number) holds \(bytes) bytes")
            }
        }
    }

    /// The queue says nothing of its memory of keys, which is looked at all the same.
    private static func keysRemembered(by ingestor: Ingestor) -> Int? {
        guard let queue = Mirror(reflecting: ingestor).descendant("queue") else { return nil }
        let recent = Mirror(reflecting: queue)
        guard let younger = recent.descendant("recent", "younger") as? Set<Identity>,
            let older = recent.descendant("recent", "older") as? Set<Identity>
        else { return nil }
        return younger.count + older.count
    }
}
