import Events
import HTTP
import Logging
import Postgres
import Reactor
import Spool
import Synchronization
import TestSupport
import Testing

@testable import Ingest

/// A database with the real schema and partitions, and nodes that write to it.
struct Installation: Sendable {
    let database: TestDatabase
    let admin: PostgresConnection

    static func with<Value>(_ body: (Installation) async throws -> Value) async throws -> Value {
        await Gate.shared.enter()
        do {
            let value = try await make(body)
            await Gate.shared.leave()
            return value
        } catch {
            await Gate.shared.leave()
            throw error
        }
    }

    private static func make<Value>(_ body: (Installation) async throws -> Value) async throws -> Value {
        try await TestCluster.withDatabase { database in
            let admin = try await database.connect(name: "admin")
            _ = try await Migrator().migrate(on: admin, deadline: TestCluster.deadline)
            for keeper in [PartitionKeeper.events, .rejects, .jobOutcomes] {
                _ = try await keeper.ensure(on: admin, deadline: TestCluster.deadline)
            }
            let value = try await body(Installation(database: database, admin: admin))
            await admin.close()
            return value
        }
    }

    /// Registers a node and starts its writers; stops them after `body`.
    func withNode<Value>(
        writers: Int = 1,
        limits: BatchLimits = BatchLimits(),
        sessionSetup: String = "",
        spool: Spool? = nil,
        dedup: DedupRule = .time,
        user: String? = nil,
        diversion: DiversionLimits = DiversionLimits(),
        _ body: (Node) async throws -> Value
    ) async throws -> Value {
        let epoch = try #require(try await sql("SELECT gen_random_uuid()")[0][0])
        let streams = try await sql("SELECT * FROM register_node($1, 'test', $2)", [epoch, "\(writers)"])
        var database = database.configuration
        database.sessionSetup = sessionSetup
        if let user { database.conninfo += " user=\(user)" }
        var configuration = IngestConfiguration(
            streams: streams.compactMap { $0[0].flatMap { Int64($0) } },
            database: database
        )
        configuration.batch = limits
        configuration.spool = spool
        configuration.diversion = diversion
        configuration.dedup = dedup
        let log = HookLog()
        let ingestor = Ingestor(
            configuration,
            hooks: log.hooks,
            loop: self.database.loop,
            logger: TestCluster.logger
        )
        let node = Node(epoch: epoch, configuration: configuration, ingestor: ingestor, log: log)
        await ingestor.start()
        do {
            let value = try await body(node)
            await ingestor.stop()
            return value
        } catch {
            await ingestor.stop()
            throw error
        }
    }

    // MARK: SQL

    @discardableResult
    func sql(_ text: String, _ parameters: [String?] = []) async throws -> [[String?]] {
        try await admin.query(text, parameters, deadline: TestCluster.deadline).rows
    }

    func number(_ text: String) async throws -> Int {
        try #require(try await sql(text).first?.first?.flatMap { Int($0) })
    }

    /// Asks again and again until it is so; only a hang ends it otherwise.
    func wait(until condition: String, _ location: SourceLocation = #_sourceLocation) async throws {
        let deadline = TestCluster.deadline
        while Deadline.now() < deadline {
            if try await sql("SELECT \(condition)") == [["t"]] { return }
        }
        Issue.record("it never came to \(condition)", sourceLocation: location)
        throw WaitedTooLong()
    }

    struct WaitedTooLong: Error {}

    // MARK: Facts

    /// What the streams and the dead have counted, together; checks that the accounts say the same.
    func totals() async throws -> Totals {
        #expect(try await sql("SELECT * FROM accounts_mismatch") == [Array(repeating: "0", count: 6)])
        let row = try await sql(
            """
            SELECT sum(received), sum(stored), sum(duplicates), sum(rejected), sum(bytes) FROM
              (SELECT received, stored, duplicates, rejected, bytes FROM streams
               UNION ALL SELECT received, stored, duplicates, rejected, bytes FROM totals) a
            """
        )[0].map { $0.flatMap { Int($0) } ?? -1 }
        #expect(row[0] == row[1] + row[2] + row[3])
        return Totals(stored: row[1], duplicates: row[2], rejected: row[3], bytes: row[4])
    }

    /// Checks that the jobs' ranges never overlap and that each stored event lies in exactly one.
    func expectJobsCoverEvents(_ location: SourceLocation = #_sourceLocation) async throws {
        let uncovered = try await number(
            """
            SELECT count(*) FROM events e WHERE 1 <> (SELECT count(*) FROM jobs j
              WHERE e.seq >= j.lo AND e.seq < j.hi AND e.ts BETWEEN j.ts_min AND j.ts_max)
            """
        )
        #expect(uncovered == 0, sourceLocation: location)
        let overlaps = try await number(
            """
            SELECT count(*) FROM (SELECT lo, lag(hi)
              OVER (PARTITION BY stream ORDER BY lo) AS before FROM jobs) a
              WHERE lo < before
            """
        )
        #expect(overlaps == 0, sourceLocation: location)
    }

    /// The backend of a node's writer, once it waits for a lock; one other than `pid`.
    func waitingWriter(
        otherThan pid: String = "0",
        on event: String = "Lock",
        named name: String = "writer-%"
    ) async throws -> String {
        let waits = """
            datname = current_database() AND application_name LIKE '%\(name)' AND pid <> \(pid)
            AND '\(event)' IN (wait_event_type, wait_event)
            """
        try await wait(until: "EXISTS (SELECT FROM pg_stat_activity WHERE \(waits))")
        return try #require(try await sql("SELECT pid FROM pg_stat_activity WHERE \(waits)").first?[0])
    }

    /// Ends a backend and returns when it is gone.
    func kill(_ pid: String) async throws {
        try await sql("SELECT pg_terminate_backend(\(pid))")
        try await wait(until: "NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = \(pid))")
    }

    /// Runs `body` while no writer is connected, nor can connect.
    func whileAway<Value>(_ body: () async throws -> Value) async throws -> Value {
        let writers = "datname = current_database() AND application_name LIKE '%writer-%'"
        try await wait(until: "EXISTS (SELECT FROM pg_stat_activity WHERE \(writers))")
        return try await withoutConnections {
            try await sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE \(writers)")
            try await wait(until: "NOT EXISTS (SELECT FROM pg_stat_activity WHERE \(writers))")
            return try await body()
        }
    }

    /// Runs `body` while nobody can connect; who is connected stays so.
    func withoutConnections<Value>(_ body: () async throws -> Value) async throws -> Value {
        let other = try await database.cluster.connect(to: "postgres")
        let allow = "ALTER DATABASE \(database.name) ALLOW_CONNECTIONS"
        _ = try await other.query("\(allow) false", deadline: TestCluster.deadline)
        do {
            let value = try await body()
            _ = try await other.query("\(allow) true", deadline: TestCluster.deadline)
            await other.close()
            return value
        } catch {
            await other.close()
            throw error
        }
    }

    /// Runs `body` while another session holds the node's streams, so that its flushes hang at their end.
    func holdingStreams<Value>(_ body: () async throws -> Value) async throws -> Value {
        let holder = try await database.connect(name: "holder")
        _ = try await holder.simple("BEGIN; SELECT FROM streams FOR UPDATE", deadline: TestCluster.deadline)
        do {
            let value = try await body()
            await holder.close()
            return value
        } catch {
            await holder.close()
            throw error
        }
    }
}

/// Lets few tests at a time have a database: each has a hundred tables, and together they would time out.
private actor Gate {
    static let shared = Gate()
    private var free = 3
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func enter() async {
        if free > 0 { free -= 1 } else { await withCheckedContinuation { waiting.append($0) } }
    }

    func leave() {
        if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
    }
}

struct Totals: Equatable {
    var stored = 0
    var duplicates = 0
    var rejected = 0
    var bytes = 0
}

/// One process's share of ingesting.
struct Node: Sendable {
    let epoch: String
    let configuration: IngestConfiguration
    let ingestor: Ingestor
    let log: HookLog

    func store(
        _ texts: [String],
        receivedAt: Int64 = WallClock.microseconds(),
        requestID: String = "request",
        trace: String? = nil
    ) async throws -> [Verdict] {
        let arena = Decoded.events(texts, receivedAt: receivedAt, seed: .random(in: 0 ... .max))
        return try await ingestor.store(
            arena,
            requestID: RequestID(requestID),
            receivedAt: receivedAt,
            bytes: texts.reduce(0) { $0 + $1.utf8.count },
            trace: trace,
            waits: false
        ).verdicts
    }
}

extension Node {
    /// Stores events that all have one verdict.
    func expect(
        _ verdict: Verdict,
        of texts: [String],
        _ location: SourceLocation = #_sourceLocation
    ) async throws {
        let verdicts = try await store(texts)
        #expect(verdicts == Array(repeating: verdict, count: texts.count), sourceLocation: location)
    }
}

/// What a node's writers have reported.
final class HookLog: Sendable {
    struct Part: Sendable {
        let stream: Int64
        let lo: Int64
        let hi: Int64
        let lines: [UInt8]
    }

    private struct State {
        var parts: [Part] = []
        var cuts = 0
        var fences = 0
        var waiting: [(cuts: Int, fences: Int, CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    var hooks: WriterHooks {
        WriterHooks(
            stored: { stream, lo, hi, lines in
                self.state.withLock { $0.parts.append(Part(stream: stream, lo: lo, hi: hi, lines: lines)) }
            },
            cut: { self.note { $0.cuts += 1 } },
            fenced: { self.note { $0.fences += 1 } }
        )
    }

    var parts: [Part] { state.withLock { $0.parts } }
    var cuts: Int { state.withLock { $0.cuts } }
    var fences: Int { state.withLock { $0.fences } }

    /// Returns once so many cuts and fences have been reported.
    func wait(cuts: Int = 0, fences: Int = 0) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.cuts >= cuts, state.fences >= fences { return true }
                state.waiting.append((cuts, fences, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }

    private func note(_ change: (inout State) -> Void) {
        let ready = state.withLock { state in
            change(&state)
            let ready = state.waiting.filter { $0.cuts <= state.cuts && $0.fences <= state.fences }
            state.waiting.removeAll { $0.cuts <= state.cuts && $0.fences <= state.fences }
            return ready
        }
        for waiter in ready { waiter.2.resume() }
    }
}
