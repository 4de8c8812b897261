import Foundation
import Reactor
import TestSupport
import Testing

/// A `millrace serve` that has said where it listens.
struct RunningService: Sendable {
    let program: RunningProgram
    let port: UInt16
    let loop: EventLoop

    var url: String { "http://127.0.0.1:\(port)" }

    /// Waits for the line that says that it takes events.
    init(_ program: RunningProgram, on loop: EventLoop) async throws {
        self.program = program
        self.loop = loop
        let line = try await program.line()
        guard let line, let port = UInt16(line.drop { $0 != ":" }.dropFirst().drop { $0 != ":" }.dropFirst()),
            line.hasPrefix("listening on http://127.0.0.1:")
        else {
            throw StillWaiting(
                description: "instead of 'listening on': \(line ?? "nothing")\n\(program.log())"
            )
        }
        self.port = port
    }

    // MARK: Requests

    func connect<Value>(_ body: (WireConnection) async throws -> Value) async throws -> Value {
        try await WireConnection.with(port: port, on: loop, body)
    }

    func get(
        _ path: String,
        fields: [(String, String)] = [],
        deadline: Deadline = TestCluster.deadline
    ) async throws -> WireAnswer {
        try await connect { try await $0.send("GET", path, fields: fields, deadline: deadline) }
    }

    /// The answer of a route that must succeed, decoded.
    func get<Value: Decodable>(
        _ path: String,
        as type: Value.Type,
        deadline: Deadline = TestCluster.deadline
    ) async throws -> Value {
        let answer = try await get(path, deadline: deadline)
        try #require(answer.status == 200, "\(path): \(answer.text.prefix(500))")
        return try answer.decode(type)
    }

    func stats() async throws -> Stats { try await get("/v1/stats", as: Stats.self) }

    /// Streams events, one a line, in chunks of a size that has nothing to do with lines.
    func stream(_ lines: [UInt8], chunkBytes: Int = 61_111) async throws -> IngestAnswer {
        let answer = try await connect { connection in
            try await connection.begin("POST", "/v1/events", fields: Self.ndjson)
            for start in stride(from: 0, to: lines.count, by: chunkBytes) {
                try await connection.send(chunk: Array(lines[start..<min(start + chunkBytes, lines.count)]))
            }
            return try await connection.finish()
        }
        try #require(answer.status / 100 == 2, "\(answer.text.prefix(500))\n\(program.log())")
        return try answer.decode(IngestAnswer.self)
    }

    static let ndjson = [("Content-Type", "application/x-ndjson")]
    static let json = [("Content-Type", "application/json")]

    // MARK: Facts

    /// Waits until every event that is stored is in the rollups.
    func waitForAnalytics() async throws {
        do {
            try await until("no lag", on: loop) {
                let stats = try await stats()
                return stats.database.state == "up" && stats.analytics.lagEvents == 0
            }
        } catch let error as StillWaiting {
            let analytics = try await stats().analytics
            throw StillWaiting(description: "\(error): \(analytics)\n\(program.log())")
        }
    }

    /// Waits until all workers have shaken hands.
    func waitForWorkers() async throws -> [Stats.Worker] {
        var workers: [Stats.Worker] = []
        try await until("workers are idle", on: loop) {
            workers = try await stats().workers
            return workers.allSatisfy { $0.state == "idle" && $0.pid != nil }
        }
        return workers
    }
}

extension WireAnswer {
    /// Its body, which is JSON.
    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(type, from: Data(body))
    }
}

/// What `POST /v1/events` answers.
struct IngestAnswer: Decodable, Equatable {
    var received: Int
    var stored: Int
    var duplicates: Int
    var rejected: Int
    var durability = "committed"
}

/// What `GET /v1/stats` answers.
struct Stats: Decodable {
    struct Totals: Decodable, Equatable {
        var received: Int
        var stored: Int
        var duplicates: Int
        var rejected: Int
        var spooled = 0
    }

    struct TypeCount: Decodable {
        var type: String
        var count: Int
    }

    struct Analytics: Decodable {
        struct Jobs: Decodable {
            var ready: Int
            var leased: Int
            var scheduled: Int
            var dead: Int
        }

        var lagEvents: Int
        var jobs: Jobs
    }

    struct Worker: Decodable {
        var slot: Int
        var pid: Int32?
        var state: String
        var job: Int64?
        var jobsDone: Int
        var restarts: Int
    }

    struct Database: Decodable {
        var state: String
        var kind: String
    }

    var totals: Totals
    var typesCount: Int
    var types: [TypeCount]
    var analytics: Analytics
    var workers: [Worker]
    var database: Database

    var countsByType: [String: Int] {
        Dictionary(types.map { ($0.type, $0.count) }, uniquingKeysWith: +)
    }
}
