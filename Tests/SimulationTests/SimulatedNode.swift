import Events
import Logging
import Postgres
import Reactor
import Spool
import TestSupport

@testable import Ingest

/// A machine with a disk, on which the write path runs, dies and is started again.
///
/// From the queue to the spool it is the real one; only its loops, the sessions with the database and the
/// disk are models.
final class SimulatedNode: @unchecked Sendable {
    let number: Int
    private let world: World
    private let server: ModelPostgres
    private let hasSpool: Bool
    private(set) var disk: ModelDisk
    private(set) var life: NodeLife?
    /// Its clock's distance from the world's, in microseconds.
    private let clockSkew: Int64
    /// Each stream's events as the analytics have got them: a range of seqs, and how many are in it.
    private(set) var handedOn: [HandedOn] = []
    private var lives = 0
    /// A life is over, however it came to its end.
    var onEnd: () -> Void = {}

    struct HandedOn {
        let lo: Int64
        let hi: Int64
        let events: Int
    }

    init(_ number: Int, _ world: World, _ server: ModelPostgres, hasSpool: Bool) {
        self.number = number
        self.world = world
        self.server = server
        self.hasSpool = hasSpool
        clockSkew = Int64(world.number(in: -2_000_000..<2_000_000))
        disk = ModelDisk(seed: world.random.next()) { call in
            world.note("disk \(number): \(call)")
        }
    }

    /// Microseconds since 1970, by its own clock.
    var wallClock: Int64 { Calendar.microseconds(world) + clockSkew }

    // MARK: Lives

    func start(faults: ModelDisk.Faults) {
        lives += 1
        // The power went while nothing ran that would have noticed.
        if disk.isOff { disk = disk.afterPowerLoss() }
        disk.set(faults)
        do {
            let life = try NodeLife(epoch: number * 1_000 + lives, disk: disk, world, server)
            self.life = life
            world.note("node \(number): starts as epoch \(life.epoch)")
            // Ends when the life is open, or over.
            Task(executorPreference: life.loop) { [self] in
                await life.open(hasSpool: hasSpool, hooks: hooks(of: life))
                if life.state == .failed { end(life) }
            }
        } catch {
            preconditionFailure("no descriptors are left: \(error)")
        }
    }

    private func hooks(of life: NodeLife) -> WriterHooks {
        WriterHooks(
            stored: { [self] _, lo, hi, lines in
                let events = lines.count { $0 == UInt8(ascii: "\n") }
                if life.state != .dead { handedOn.append(HandedOn(lo: lo, hi: hi, events: events)) }
            },
            cut: {},
            fenced: { [self] in
                world.note("node \(number): is fenced")
                world.after(.zero) { [self] in if self.life === life { kill(losingPower: false) } }
            }
        )
    }

    /// Dies between two operations; with `losingPower` the disk forgets what it was not made to keep.
    func kill(losingPower: Bool) {
        guard let life else { return }
        world.note("node \(number): \(losingPower ? "loses power" : "is killed")")
        end(life)
        let dead = disk
        disk = losingPower || dead.isOff ? dead.afterPowerLoss() : dead.afterKill()
        // Whatever the dead still does reaches nothing that lasts.
        var off = ModelDisk.Faults()
        off.callsLeft = 0
        dead.set(off)
        life.die()
    }

    private func end(_ life: NodeLife) {
        guard self.life === life else { return }
        self.life = nil
        // Leases run out, and somebody finds it.
        let lease = world.duration(milliseconds: 15_000...25_000)
        world.after(lease) { [server] in server.buryNode(epoch: life.epoch) }
        onEnd()
    }

    /// Ends as it should.
    func stop() {
        guard let life, life.state == .serving else { return }
        world.note("node \(number): stops")
        life.stopServing()
        // Ends by itself, or dies over it.
        Task(executorPreference: life.loop) { [self] in
            await life.close()
            guard self.life === life else { return }
            world.note("node \(number): has stopped")
            self.life = nil
            server.buryNode(epoch: life.epoch)
            onEnd()
        }
    }

    /// Stands still, as by SIGSTOP, and is buried if that takes longer than its lease.
    func pause(for duration: Duration) {
        guard let life else { return }
        world.note("node \(number): stands still for \(duration)")
        world.pause(life.epoch, for: duration)
        if duration > .seconds(15) {
            world.after(.seconds(15)) { [server] in server.buryNode(epoch: life.epoch) }
            // If no flush has found that out, the next beat of its lease does.
            world.after(duration + world.duration(milliseconds: 0...5_000)) { [self] in
                if self.life === life { kill(losingPower: false) }
            }
        }
    }

    // MARK: Requests

    /// Has a delivery stored; `nil` when nobody answers.
    func send(_ delivery: Delivery, patience: Duration) async -> Result<Kept, IngestError>? {
        guard let life, life.state == .serving, let ingestor = life.ingestor else { return nil }
        return await withUnsafeContinuation { continuation in
            let reply = Reply(continuation)
            life.add(reply)
            world.after(patience) { reply.give(nil) }
            // Ends with the answer, which may find nobody any more.
            Task(executorPreference: life.loop) {
                reply.give(await delivery.store(in: ingestor))
            }
        }
    }
}

/// A process from its start to its end.
final class NodeLife: @unchecked Sendable {
    enum State: Equatable {
        case opening
        case serving
        /// It takes nothing new.
        case stopping
        /// It could not begin.
        case failed
        /// What is left of it reaches nobody.
        case dead
    }

    let epoch: Int
    let loop: EventLoop
    private let spoolLoop: EventLoop
    private let aheadLoop: EventLoop
    private let world: World
    private let server: ModelPostgres
    private let sessions: ModelSessions
    private let disk: ModelDisk
    private(set) var state = State.opening
    private(set) var ingestor: Ingestor?
    private(set) var spool: Spool?
    private var replies: [Reply] = []

    init(epoch: Int, disk: ModelDisk, _ world: World, _ server: ModelPostgres) throws {
        self.epoch = epoch
        self.disk = disk
        self.world = world
        self.server = server
        sessions = ModelSessions(server)
        loop = try world.makeLoop(of: epoch)
        spoolLoop = try world.makeLoop(of: epoch)
        aheadLoop = try world.makeLoop(of: epoch)
    }

    /// The memory of keys holds up to twice as many.
    static let recentKeysMax = 12

    static var batchLimits: BatchLimits {
        var limits = BatchLimits()
        limits.eventsMax = 20
        limits.bytesMax = 4 << 10
        limits.pendingBytesMax = 6 << 10
        limits.parallelEventsMin = 5
        limits.parallelBytesMin = 2 << 10
        limits.cutEventsMax = 15
        limits.recentKeysMax = recentKeysMax
        return limits
    }

    static var spoolLimits: SpoolLimits {
        var limits = SpoolLimits()
        limits.segmentBytes = 6 << 10
        limits.bytesMax = 6 * limits.segmentBytes
        limits.groupBytesMax = 3 << 10
        limits.payloadBytesMax = 3_000
        limits.roomBytesMin = 3_100
        limits.windowBytes = 2 << 10
        return limits
    }

    static var diversionLimits: DiversionLimits {
        var limits = DiversionLimits()
        limits.drainEventsMax = 15
        limits.drainBytesMax = 3 << 10
        return limits
    }

    // MARK: From start to end

    func open(hasSpool: Bool, hooks: WriterHooks) async {
        let logger = Logger(label: "node") { [world, epoch] _ in TraceLog(world, epoch) }
        do {
            if hasSpool {
                spool = try await Spool.open(
                    on: disk,
                    limits: Self.spoolLimits,
                    loop: spoolLoop,
                    ahead: aheadLoop,
                    logger: logger
                )
            }
        } catch {
            world.note("epoch \(epoch): cannot open its spool: \(error)")
            if state == .opening { state = .failed }
            return
        }
        while server.availability != .up, state == .opening { await loop.sleep(for: .milliseconds(300)) }
        if state == .opening { await begin(hooks, logger) }
        if state == .dead { await close() }
    }

    private func begin(_ hooks: WriterHooks, _ logger: Logger) async {
        var database = PostgresConfiguration(conninfo: "")
        database.server = sessions
        let streams = server.registerNode(epoch: epoch, writers: spool == nil ? 2 : 3)
        var configuration = IngestConfiguration(streams: streams, database: database)
        configuration.batch = Self.batchLimits
        configuration.spool = spool
        configuration.diversion = Self.diversionLimits
        let ingestor = Ingestor(configuration, hooks: hooks, loop: loop, logger: logger)
        self.ingestor = ingestor
        await ingestor.start()
        if state == .opening { state = .serving }
    }

    /// Nobody hears of it any more.
    func die() {
        let wasServing = state == .serving || state == .stopping
        state = .dead
        sessions.cut()
        for reply in replies { reply.give(nil) }
        replies = []
        // What is left comes to its end in vain; one that is still opening sees to that itself.
        if wasServing { Task(executorPreference: loop) { await self.close() } }
    }

    func stopServing() { state = .stopping }

    func close() async {
        await ingestor?.stop()
        await spool?.close()
        // Its hooks hold this.
        ingestor = nil
        spool = nil
    }

    func add(_ reply: Reply) {
        replies.removeAll { $0.isGiven }
        replies.append(reply)
    }
}

/// The answer to a request: the first that is given.
final class Reply: @unchecked Sendable {
    private var continuation: UnsafeContinuation<Result<Kept, IngestError>?, Never>?

    init(_ continuation: UnsafeContinuation<Result<Kept, IngestError>?, Never>) {
        self.continuation = continuation
    }

    var isGiven: Bool { continuation == nil }

    func give(_ outcome: Result<Kept, IngestError>?) {
        continuation?.resume(returning: outcome)
        continuation = nil
    }
}

/// The time of day.
enum Calendar {
    /// Half a minute before midnight, so that walks see the end of a day.
    private static let start: Int64 = 1_790_035_170_000_000

    static func microseconds(_ world: World) -> Int64 {
        let (seconds, attoseconds) = world.elapsed.components
        return start + seconds * 1_000_000 + attoseconds / 1_000_000_000_000
    }

    static func today(_ world: World) -> Int64 { microseconds(world) / ModelTables.dayLength }
}

/// A node's log, as lines of the trace.
private struct TraceLog: LogHandler {
    var logLevel = Logger.Level.debug
    var metadata: Logger.Metadata = [:]
    private let world: World
    private let epoch: Int

    init(_ world: World, _ epoch: Int) {
        self.world = world
        self.epoch = epoch
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
        world.note("epoch \(epoch): \(event.message)\(fields.joined())")
    }
}
