import Foundation
import HTTP
import Logging
import Postgres
import Reactor
import Server
import TestSupport
import Testing

@testable import Ingest

/// The writing route behind a real server on loopback.
struct Service: Sendable {
    let installation: Installation
    let address: SocketAddress

    /// Runs `body` on the loop of the server, whose only writer is `node`'s.
    static func with(
        limits: BatchLimits = BatchLimits(),
        change: (inout IngestConfiguration) -> Void = { _ in },
        _ body: @escaping @Sendable (Service, EventLoop) async throws -> Void
    ) async throws {
        try await Installation.with { installation in
            try await installation.withNode(limits: limits) { node in
                var configuration = node.configuration
                change(&configuration)
                try await serve(node.ingestor, configuration, on: installation.database.loop) {
                    address,
                    loop in
                    try await body(Service(installation: installation, address: address), loop)
                }
            }
        }
    }

    /// Serves `ingestor` while `body` runs.
    static func serve(
        _ ingestor: Ingestor,
        _ configuration: IngestConfiguration,
        rejects: RejectRoutes? = nil,
        on loop: EventLoop,
        _ body: @escaping @Sendable (SocketAddress, EventLoop) async throws -> Void
    ) async throws {
        var router = Router()
        IngestRoute(ingestor, configuration).add(to: &router)
        rejects?.add(to: &router)
        var listening = HTTPServerConfiguration()
        listening.port = 0
        let server = try await HTTPServer(
            listening,
            router: router,
            loops: [loop],
            logger: TestCluster.logger
        )
        do {
            try await OnLoop(loop).run { try await body(server.address, loop) }
            await server.drain(deadline: .now())
        } catch {
            await server.drain(deadline: .now())
            throw error
        }
    }

    /// Sends a request to any route over a connection of its own and returns the answer.
    func send(_ method: String, _ path: String, _ body: String = "") async throws -> Answer {
        let client = try await Client.connect(to: address, on: installation.database.loop)
        defer { client.close() }
        let head = "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: r-1\r\n"
        try await client.write(Array((head + "Content-Length: \(body.utf8.count)\r\n\r\n" + body).utf8))
        return try await client.answer()
    }

    /// Sends one request over a connection of its own and returns the answer.
    func post(
        _ body: String,
        type: String? = "application/json",
        query: String = "",
        fields: String = ""
    ) async throws -> Answer {
        let client = try await Client.connect(to: address, on: installation.database.loop)
        defer { client.close() }
        try await client.write(
            Client.head(type: type, query: query, fields: fields, length: body.utf8.count) + Array(body.utf8)
        )
        return try await client.answer()
    }
}

/// A response and the JSON in it.
struct Answer {
    let status: Int
    let fields: [String: String]
    let body: [UInt8]

    func json() throws -> [String: Any] {
        try #require(
            try JSONSerialization.jsonObject(with: Data(body)) as? [String: Any],
            "\(String(decoding: body, as: UTF8.self))"
        )
    }

    /// The counts received, stored, duplicates, rejected.
    func counts() throws -> [Int?] {
        let json = try json()
        return ["received", "stored", "duplicates", "rejected"].map { json[$0] as? Int }
    }

    func code() throws -> String? { try json()["code"] as? String }

    func errorCodes() throws -> [String?] {
        (try json()["errors"] as? [[String: Any]] ?? []).map { $0["code"] as? String }
    }
}

/// A bare HTTP connection, used on its loop: bytes out, answers in.
final class Client {
    private let stream: ByteStream
    private var input = ReadBuffer(capacity: 1 << 16)

    private init(_ stream: ByteStream) { self.stream = stream }

    static func connect(to address: SocketAddress, on loop: EventLoop) async throws -> Client {
        Client(
            try await ByteStream.connect(
                host: address.host,
                port: address.port,
                on: loop,
                deadline: TestCluster.deadline
            )
        )
    }

    static func head(type: String?, query: String = "", fields: String = "", length: Int?) -> [UInt8] {
        var head = "POST /v1/events\(query) HTTP/1.1\r\nHost: localhost\r\n\(fields)"
        if let type { head += "Content-Type: \(type)\r\n" }
        head += length.map { "Content-Length: \($0)\r\n" } ?? "Transfer-Encoding: chunked\r\n"
        return Array((head + "\r\n").utf8)
    }

    func write(_ bytes: [UInt8]) async throws {
        try await stream.write(bytes, deadline: TestCluster.deadline)
    }

    /// One chunk of a chunked body; an empty one ends it.
    func writeChunk(_ bytes: [UInt8]) async throws {
        try await write(Array("\(String(bytes.count, radix: 16))\r\n".utf8) + bytes + [13, 10])
    }

    /// Writes until the other side takes no more for `patience`, or all is written; returns the bytes taken.
    func writeUntilStalled(_ bytes: [UInt8], patience: Duration) async throws -> Int {
        var written = 0
        while written < bytes.count {
            written += try stream.tryWrite(bytes, from: written)
            if written == bytes.count { break }
            do throws(StreamError) { try await stream.untilWritable(deadline: .after(patience)) } catch {
                break
            }
        }
        return written
    }

    func answer() async throws -> Answer {
        while true {
            if let answer = try parse() { return answer }
            try await read()
        }
    }

    /// Reads an interim answer; returns its status.
    func interimStatus() async throws -> Int {
        while true {
            let bytes = Data(input.bytes[input.readable])
            if let end = bytes.range(of: Data("\r\n\r\n".utf8)) {
                input.consume(end.upperBound)
                let text = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
                return try #require(text.split(separator: " ").dropFirst().first.flatMap { Int($0) })
            }
            try await read()
        }
    }

    /// Reads the head of an answer that comes in chunks; returns its status.
    func streamedHead() async throws -> Int {
        while true {
            let bytes = Data(input.bytes[input.readable])
            if let end = bytes.range(of: Data("\r\n\r\n".utf8)) {
                input.consume(end.upperBound)
                let head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
                try #require(head.contains("Transfer-Encoding: chunked"), "\(head)")
                return try #require(head.split(separator: " ").dropFirst().first.flatMap { Int($0) })
            }
            try await read()
        }
    }

    /// The next chunk of such an answer, which is a line of JSON; `nil` behind the last one.
    func streamedLine() async throws -> [String: Any]? {
        while true {
            let bytes = Data(input.bytes[input.readable])
            if let end = bytes.range(of: Data("\r\n".utf8)) {
                let text = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
                let length = try #require(Int(text, radix: 16), "\(text)")
                if bytes.count >= end.upperBound + length + 2 {
                    input.consume(end.upperBound + length + 2)
                    if length == 0 { return nil }
                    let line = bytes[end.upperBound..<end.upperBound + length]
                    return try #require(try JSONSerialization.jsonObject(with: line) as? [String: Any])
                }
            }
            try await read()
        }
    }

    /// Whether the server has ended the connection.
    func isEnded() async throws -> Bool {
        try await stream.read(into: &input, atMost: 1 << 16, deadline: TestCluster.deadline) == 0
    }

    private func read() async throws {
        let count = try await stream.read(into: &input, atMost: 1 << 16, deadline: TestCluster.deadline)
        try #require(count > 0, "the connection ended within the answer")
    }

    private func parse() throws -> Answer? {
        let bytes = Array(input.bytes[input.readable])
        guard let end = Data(bytes).range(of: Data("\r\n\r\n".utf8)) else { return nil }
        let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            fields[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces)
        }
        let status = try #require(lines[0].split(separator: " ").dropFirst().first.flatMap { Int($0) })
        // RFC 9110 8.6: an answer without content says no length.
        let length = status == 204 ? 0 : try #require(fields["content-length"].flatMap { Int($0) })
        guard bytes.count >= end.upperBound + length else { return nil }
        input.consume(end.upperBound + length)
        return Answer(
            status: status,
            fields: fields,
            body: Array(bytes[end.upperBound..<end.upperBound + length])
        )
    }

    func close() { stream.close() }
}
