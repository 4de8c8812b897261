import Analytics
import Events
import Glibc
import Logging
import Reactor
import Synchronization
import TestSupport
import Testing

@testable import Workers

/// A body in pieces out of a closure, which is told the number of each.
private final class Pieces: JobFeed {
    private let asked = Atomic<Int>(0)
    private let make: @Sendable (Int) async -> FeedPiece

    init(_ make: @escaping @Sendable (Int) async -> FeedPiece) { self.make = make }

    /// How many have been asked for.
    var count: Int { asked.load(ordering: .relaxed) }

    func next() async -> FeedPiece {
        await make(asked.wrappingAdd(1, ordering: .relaxed).oldValue)
    }
}

@Suite struct `An analysis on a real worker` {
    private func withPool<Value: Sendable>(
        _ body: @escaping @Sendable (WorkerPool) async throws -> Value
    ) async throws -> Value {
        let loop = try EventLoop(name: "test-analyses")
        defer { loop.stop() }
        var configuration = WorkerPoolConfiguration.builtIn(size: 1, millrace: MillraceBinary.path)
        configuration.environment = ["MILLRACE_WORKER_FAULTS": "1", "SWIFT_BACKTRACE": "enable=no"]
        configuration.limits.boot = .seconds(60)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let pool = WorkerPool(configuration, loop: loop, logger: logger)
        await pool.start()
        let value: Result<Value, any Error>
        do { value = .success(try await body(pool)) } catch { value = .failure(error) }
        await pool.drain(deadline: .now())
        return try value.get()
    }

    private static let parameters: JSONValue = [
        "from": "1970-01-01T00:00:00Z", "to": "1970-01-01T01:00:00Z", "by": "/plan",
    ]

    private func job(
        _ feed: Pieces?,
        kind: String = "top",
        parameters: JSONValue = parameters,
        body: [UInt8] = [],
        timeout: Duration = .seconds(60)
    ) -> WorkerJob {
        var job = WorkerJob(id: 5, token: 55, kind: kind, timeout: timeout, parameters: parameters)
        job.body = body
        job.feed = feed
        return job
    }

    /// One event a second from the first second on, with escapes and letters of several bytes.
    private static func lines(_ seconds: Range<Int>) -> [UInt8] {
        var text = ""
        for second in seconds {
            let plan = ["\"free\"", "\"p\\u0061id\"", "7", "true", "null", "{\"a\":[1]}", "\"größer\""][
                second % 7
            ]
            text += "{\"ts\":\(second * 1_000_000),\"type\":\"a\\\"b\",\"source\":\"/\",\"subject\":\"s\","
            text += "\"fields\":[\(plan)]}\n"
        }
        return Array(text.utf8)
    }

    private static let counts = [
        "\"free\"": 100, "\"paid\"": 100, "7": 100, "true": 100, "\"größer\"": 100,
    ]

    /// The counts of a result; of a failure, what it is.
    private func counts(_ outcome: WorkerOutcome) -> [String: Int] {
        guard case .result("json", let body) = outcome, let result = try? JSONReader.object(body),
            case .array(let rows)? = result["values"]
        else { return ["\(outcome)": 0] }
        var counts: [String: Int] = [:]
        for row in rows {
            let value = row.object?["value"].map { String(decoding: $0.bytes, as: UTF8.self) } ?? ""
            counts[value] = row.object?["count"]?.integer.map { Int($0) }
        }
        return counts
    }

    @Test func `has the same result for one body and for pieces cut anywhere`() async throws {
        try await withPool { pool in
            let body = Self.lines(0..<700)
            let whole = await pool.run(job(nil, body: body))
            #expect(counts(whole) == Self.counts)
            for size in [7, 61, 1_000, 30_011] {
                let feed = Pieces { number in
                    let start = number * size
                    return start < body.count
                        ? .bytes(Array(body[start..<min(start + size, body.count)])) : .end
                }
                let outcome = await pool.run(job(feed))
                #expect(outcome == whole, "pieces of \(size) bytes")
            }
            let last = Pieces { $0 == 0 ? .bytes(Array(body.dropLast())) : .end }
            #expect(await pool.run(job(last)) == whole, "a last line without its end")
        }
    }

    @Test func `says how far it has got`() async throws {
        try await withPool { pool in
            let feed = Pieces { number in
                if number == 0 { return .bytes(Self.lines(0..<1_800)) }
                // The worker's news of the first piece is to be seen before the last.
                while await pool.snapshot()[0].jobDone ?? 0 == 0 { await pool.loop.nextTurn() }
                let status = await pool.snapshot()[0]
                #expect(status.jobTotal == 3_600_000_000)
                #expect((1_700_000_000...1_800_000_000).contains(status.jobDone ?? 0))
                return .end
            }
            guard case .result = await pool.run(job(feed)) else {
                Issue.record("no result")
                return
            }
        }
    }

    /// A stopped worker reads nothing: what the pool asks of the feed is what the pipe holds, and not more.
    @Test func `is fed no faster than its worker reads`() async throws {
        try await withPool { pool in
            #expect(counts(await pool.run(job(nil, body: Self.lines(0..<700)))) == Self.counts)
            let pid = try #require(await pool.snapshot()[0].pid)
            let piece = [UInt8](repeating: UInt8(ascii: " "), count: 64 << 10)
            let feed = Pieces { number in
                if number == 0 { kill(pid, SIGSTOP) }
                return .bytes(piece)
            }
            let outcome = await pool.run(job(feed, timeout: .milliseconds(500)))
            guard case .failed(.timeout, _) = outcome else {
                Issue.record("\(outcome)")
                return
            }
            #expect((1...20).contains(feed.count))
        }
    }

    @Test func `stops between two pieces when it is cancelled, and its worker goes on with others`()
        async throws
    {
        try await withPool { pool in
            let feed = Pieces { number in
                if number == 3 { await pool.cancel(jobID: 5) }
                return .bytes(Self.lines(number..<number + 1))
            }
            let outcome = await pool.run(job(feed))
            #expect(outcome == .failed(cause: .cancelled, message: "cancelled"))
            let pid = await pool.snapshot()[0].pid
            #expect(counts(await pool.run(job(nil, body: Self.lines(0..<700)))) == Self.counts)
            let status = await pool.snapshot()[0]
            #expect(status.pid == pid && status.restarts == 0)
        }
    }

    /// Neither from a worker that stops when asked to, nor from one that makes something of what it has got.
    @Test(arguments: ["top", "echo"]) func `has no result when its feed fails, and is given back`(
        kind: String
    ) async throws {
        try await withPool { pool in
            let feed = Pieces { number in
                number < 3 ? .bytes(Self.lines(number..<number + 1)) : .failed(reason: "the database is away")
            }
            let outcome = await pool.run(job(feed, kind: kind))
            #expect(outcome == .failed(cause: .drained, message: "the database is away"))
            #expect(counts(await pool.run(job(nil, body: Self.lines(0..<700)))) == Self.counts)
        }
    }

    @Test func `says what is wrong with its parameters, and reads no further`() async throws {
        try await withPool { pool in
            let feed = Pieces { number in .bytes(Self.lines(number..<number + 1)) }
            let parameters: JSONValue = ["from": "1970-01-01T00:00:00Z", "to": "soon"]
            let outcome = await pool.run(job(feed, parameters: parameters))
            let message = "invalid parameters: /to: a time as in RFC 3339 is needed"
            #expect(outcome == .failed(cause: .permanent, message: message))
            #expect(counts(await pool.run(job(nil, body: Self.lines(0..<700)))) == Self.counts)
        }
    }

    @Test func `refuses events out of order or outside of its range`() async throws {
        try await withPool { pool in
            let body = Self.lines(5..<6) + Self.lines(4..<5)
            let late = await pool.run(job(nil, body: body))
            let message = "an event of the time 4000000 comes after one of 5000000"
            #expect(late == .failed(cause: .permanent, message: message))
            let outside = await pool.run(job(nil, body: Self.lines(3_600..<3_601)))
            let other = "an event of the time 3600000000 is not of the range"
            #expect(outside == .failed(cause: .permanent, message: other))
        }
    }

    @Test func `costs itself alone when its worker is killed in the middle`() async throws {
        try await withPool { pool in
            let feed = Pieces { number in
                if number == 5, let pid = await pool.snapshot()[0].pid { kill(pid, SIGKILL) }
                return .bytes(Self.lines(number % 3_600..<number % 3_600 + 1))
            }
            let outcome = await pool.run(job(feed))
            guard case .failed(.crash, let message) = outcome else {
                Issue.record("\(outcome)")
                return
            }
            #expect(message.contains("SIGKILL"))
            #expect(counts(await pool.run(job(nil, body: Self.lines(0..<700)))) == Self.counts)
        }
    }
}
