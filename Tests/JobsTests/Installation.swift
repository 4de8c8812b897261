import Analytics
import Events
import Jobs
import Logging
import Postgres
import Reactor
import TestSupport
import Testing
import Workers

/// A database with the real schema, and what tests do to it by hand.
struct Installation: Sendable {
    let loop: EventLoop
    let configuration: PostgresConfiguration
    let admin: PostgresConnection

    static func with<Value>(_ body: (Installation) async throws -> Value) async throws -> Value {
        try await TestCluster.withDatabase { database in
            let installation = try await make(database.configuration, loop: database.loop)
            let value = try await body(installation)
            await installation.admin.close()
            return value
        }
    }

    /// Makes the schema and its partitions in an empty database.
    static func make(_ configuration: PostgresConfiguration, loop: EventLoop) async throws -> Installation {
        // Its own commits wait for no standby, real or not.
        var local = configuration
        local.sessionSetup = "SET synchronous_commit = off"
        let admin = PostgresConnection(local, name: "admin", loop: loop, logger: TestCluster.logger)
        try await admin.connect(deadline: TestCluster.deadline)
        _ = try await Migrator().migrate(on: admin, deadline: TestCluster.deadline)
        _ = try await PartitionKeeper.events.ensure(on: admin, deadline: TestCluster.deadline)
        _ = try await PartitionKeeper(table: "job_outcomes", hasHistory: false, daysBack: 10)
            .ensure(on: admin, deadline: TestCluster.deadline)
        return Installation(loop: loop, configuration: configuration, admin: admin)
    }

    /// A new connection.
    func connect(name: String = "test") async throws -> PostgresConnection {
        let connection = PostgresConnection(configuration, name: name, loop: loop, logger: TestCluster.logger)
        try await connection.connect(deadline: TestCluster.deadline)
        return connection
    }

    /// Quick enough that nothing waits for long.
    static var limits: JobsLimits {
        var limits = JobsLimits()
        limits.apply.linger = .milliseconds(2)
        limits.apply.retryMin = .milliseconds(5)
        limits.apply.retryMax = .milliseconds(50)
        limits.dispatch.pollMin = .milliseconds(5)
        limits.dispatch.pollMax = .milliseconds(20)
        limits.dispatch.promote = .milliseconds(5)
        limits.dispatch.reportRetry = .milliseconds(5)
        limits.lease.retry = .milliseconds(10)
        return limits
    }

    // MARK: SQL

    @discardableResult
    func sql(_ text: String, _ parameters: [String?] = []) async throws -> [[String?]] {
        try await admin.query(text, parameters, deadline: TestCluster.deadline).rows
    }

    func number(_ text: String) async throws -> Int64 {
        let rows = try await sql(text)
        let value = rows.first?.first ?? nil
        return try #require(value.flatMap { Int64($0) })
    }

    /// Asks again and again until it is so; only a hang ends it otherwise.
    func wait(until condition: String, _ location: SourceLocation = #_sourceLocation) async throws {
        let deadline = TestCluster.deadline
        while true {
            let rows = try await sql("SELECT \(condition)")
            if rows == [["t"]] { return }
            if Deadline.now() >= deadline { break }
        }
        Issue.record("never became true: \(condition)", sourceLocation: location)
    }

    func queue() async throws -> JobQueue {
        JobQueue(connection: try await connect(name: "test-queue"), limits: Self.limits)
    }

    func applier(_ limits: JobsLimits = Installation.limits) -> Applier {
        Applier(configuration, limits: limits, loop: loop, logger: TestCluster.logger)
    }

    // MARK: Nodes, events and jobs

    /// A node without a process.
    func makeNode() async throws -> NodeRegistration {
        let lease = try await makeLease()
        return lease.registration
    }

    func makeLease(
        _ limits: JobsLimits = Installation.limits,
        onFenced: @escaping @Sendable () async -> Void = {}
    ) async throws -> NodeLease {
        try await NodeLease.register(
            configuration,
            name: "test",
            writers: 1,
            limits: limits,
            loop: loop,
            logger: TestCluster.logger,
            deadline: TestCluster.deadline,
            onFenced: onFenced
        )
    }

    /// Stores events as a writer's flush would, counts them in the stream and cuts a job; returns its id.
    @discardableResult
    func flush(_ events: [TestEvent], stream: Int64, isCut: Bool = true) async throws -> TestFlush {
        let lo = try await number("SELECT written FROM streams WHERE stream = \(stream)")
        for (offset, event) in events.enumerated() {
            try await sql(
                """
                INSERT INTO events (key, ts, received_at, type, source, subject, data, seq, bucket)
                    VALUES (gen_random_uuid(), $1, now(), $2, $3, $4, $5, $6, 0)
                """,
                [
                    String(decoding: Timestamp.format(event.time), as: UTF8.self), event.type, event.source,
                    event.subject, event.data, String(lo + Int64(offset)),
                ]
            )
        }
        let hi = lo + Int64(events.count)
        let flush = try await number("SELECT flush + 1 FROM streams WHERE stream = \(stream)")
        let times = events.map(\.time)
        func time(_ value: Int64?) -> String? {
            value.map { String(decoding: Timestamp.format($0), as: UTF8.self) }
        }
        try await sql(
            "SELECT end_flush($1, $2, $3, $4, $4, 0, 0, 0, $5, $6, $7, true)",
            [
                String(stream), String(flush), String(hi), String(events.count), time(times.min()),
                time(times.max()), isCut ? "t" : "f",
            ]
        )
        // 0 where a service that runs has done it already.
        let jobs = "SELECT coalesce(max(id), 0) FROM jobs WHERE stream = \(stream)"
        let job = isCut ? try await number(jobs) : 0
        return TestFlush(job: job, stream: stream, lo: lo, hi: hi, lines: events.flatMap(\.line))
    }

    /// Makes a job of a node's that has `count` events by its numbers, without any.
    @discardableResult
    func makeJob(of node: NodeRegistration, count: Int64 = 1) async throws -> Int64 {
        let stream = node.streams[0]
        return try await number(
            """
            INSERT INTO jobs (origin, stream, lo, hi, ts_min, ts_max)
                VALUES ('\(node.epoch)', \(stream), \(stream << 40), \((stream << 40) + count), now(), now())
                RETURNING id
            """
        )
    }

    // MARK: Rollups

    func rollups() async throws -> [RollupKey: Rollup] {
        let rows = try await sql(
            """
            SELECT (extract(epoch FROM minute) * 1000000)::bigint, type, source, events, subjects, fields
                FROM rollups_minute
            """
        )
        var rollups: [RollupKey: Rollup] = [:]
        for row in rows {
            let minute = row[0].flatMap { Int64($0) } ?? -1
            let key = RollupKey(minute: minute, type: row[1] ?? "", source: row[2] ?? "")
            var rollup = Rollup(count: row[3].flatMap { Int64($0) } ?? -1)
            if let subjects = row[4] {
                let bytes = Self.bytes(subjects)
                rollup.subjects = try HyperLogLog.decode(bytes.span)
            }
            if let fields = row[5] {
                let bytes = Self.bytes(fields)
                rollup.fields = try FieldSketches.decode(bytes.span)
            }
            rollups[key] = rollup
        }
        return rollups
    }

    private static func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex.utf8.dropFirst(2))
        return stride(from: 0, to: digits.count, by: 2).map { index in
            UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) ?? 0
        }
    }

    func typeCounts() async throws -> [String: Int] {
        var counts: [String: Int] = [:]
        for row in try await sql("SELECT type, events FROM rollups_type") {
            counts[row[0] ?? ""] = row[1].flatMap { Int($0) }
        }
        return counts
    }
}

struct TestFlush: Sendable {
    let job: Int64
    let stream: Int64
    let lo: Int64
    let hi: Int64
    let lines: [UInt8]
}

/// One event, for the database, for a worker and for a computation by hand.
struct TestEvent: Sendable {
    var time: Int64
    var type: String
    var source: String
    var subject: String?
    var value: Int

    var data: String { #"{"value": \#(value)}"# }

    /// As workers read it, with its line feed.
    var line: [UInt8] {
        let subject = subject.map { "\"\($0)\"" } ?? "null"
        let text =
            #"{"ts":\#(time),"type":"\#(type)","source":"\#(source)","subject":\#(subject),"data":\#(data)}"#
        return Array((text + "\n").utf8)
    }

    /// Events of the last minutes, of a few types and sources.
    static func random(_ count: Int, _ random: inout SplitMix) -> [TestEvent] {
        let now = WallClock.microseconds()
        return (0..<count).map { _ in
            TestEvent(
                time: now - Int64.random(in: 0..<240_000_000, using: &random),
                type: "type-\(Int.random(in: 0..<4, using: &random))",
                source: "source-\(Int.random(in: 0..<3, using: &random))",
                subject: Bool.random(using: &random)
                    ? "subject-\(Int.random(in: 0..<50, using: &random))" : nil,
                value: Int.random(in: -1_000...1_000, using: &random)
            )
        }
    }

    /// What the tables should say, computed in one go, without jobs, workers or codecs.
    static func rollups(_ events: [TestEvent]) -> [RollupKey: Rollup] {
        var accumulator = RollupAccumulator()
        for event in events {
            let (type, source) = (Array(event.type.utf8), Array(event.source.utf8))
            if let subject = event.subject.map({ Array($0.utf8) }) {
                accumulator.add(time: event.time, type: type.span, source: source.span, subject: subject.span)
            } else {
                accumulator.add(time: event.time, type: type.span, source: source.span, subject: nil)
            }
            let name = Array("/value".utf8)
            accumulator.add(field: name.span, value: Double(event.value))
        }
        return accumulator.rollups
    }
}

extension JobResult {
    /// What a worker would make of the events.
    init(of job: LeasedJob, _ events: [TestEvent]) throws {
        let lines = events.flatMap(\.line)
        let body = try RollupKind().run(lines.span)
        try self.init(of: job, items: events.count, encoding: "rollup1", body: body, limits: ApplyLimits())
    }
}
