package import Reactor

/// One HTTP/1.1 connection of a test, written and read by hand: it shares no parser with what it tests.
package actor WireConnection {
    private let stream: ByteStream
    private var input = ReadBuffer(capacity: 1 << 16)

    nonisolated package var unownedExecutor: UnownedSerialExecutor { stream.loop.asUnownedSerialExecutor() }

    private init(_ stream: ByteStream) {
        self.stream = stream
    }

    /// Opens a connection, lends it to `body` and closes it.
    package static func with<Value>(
        port: UInt16,
        on loop: EventLoop,
        _ body: (WireConnection) async throws -> Value
    ) async throws -> Value {
        let stream: ByteStream
        do throws(StreamError) {
            stream = try await ByteStream.connect(
                host: "127.0.0.1",
                port: port,
                on: loop,
                deadline: TestCluster.deadline
            )
        } catch {
            throw WireError.refused(error)
        }
        let connection = WireConnection(stream)
        do {
            let value = try await body(connection)
            await connection.close()
            return value
        } catch {
            await connection.close()
            throw error
        }
    }

    package func close() { stream.close() }

    // MARK: Requests

    /// Sends a request with its whole body and reads the answer.
    package func send(
        _ method: String,
        _ path: String,
        fields: [(String, String)] = [],
        body: [UInt8]? = nil,
        deadline: Deadline = TestCluster.deadline
    ) async throws(WireError) -> WireAnswer {
        let length = body.map { [("Content-Length", "\($0.count)")] } ?? []
        try await write(Self.head(method, path, fields + length) + (body ?? []), deadline)
        return try await answer(deadline: deadline)
    }

    /// Begins a request whose body comes in chunks.
    package func begin(
        _ method: String,
        _ path: String,
        fields: [(String, String)],
        deadline: Deadline = TestCluster.deadline
    ) async throws(WireError) {
        try await write(Self.head(method, path, fields + [("Transfer-Encoding", "chunked")]), deadline)
    }

    /// Sends a request's head and as much of its body as there is: `fields` say how long it will be.
    package func begin(
        _ method: String,
        _ path: String,
        fields: [(String, String)],
        beginning: [UInt8],
        deadline: Deadline = TestCluster.deadline
    ) async throws(WireError) {
        try await write(Self.head(method, path, fields) + beginning, deadline)
    }

    /// Sends more of the body, as one chunk.
    package func send(chunk: [UInt8], deadline: Deadline = TestCluster.deadline) async throws(WireError) {
        if chunk.isEmpty { return }
        try await write(Array("\(String(chunk.count, radix: 16))\r\n".utf8) + chunk + [13, 10], deadline)
    }

    /// Ends the body and reads the answer.
    package func finish(deadline: Deadline = TestCluster.deadline) async throws(WireError) -> WireAnswer {
        try await end(deadline: deadline)
        return try await answer(deadline: deadline)
    }

    /// Ends the body.
    package func end(deadline: Deadline = TestCluster.deadline) async throws(WireError) {
        try await write(Array("0\r\n\r\n".utf8), deadline)
    }

    private static func head(_ method: String, _ path: String, _ fields: [(String, String)]) -> [UInt8] {
        let lines = fields.map { "\($0.0): \($0.1)\r\n" }.joined()
        return Array("\(method) \(path) HTTP/1.1\r\nHost: localhost\r\n\(lines)\r\n".utf8)
    }

    private func write(_ bytes: [UInt8], _ deadline: Deadline) async throws(WireError) {
        do throws(StreamError) { try await stream.write(bytes, deadline: deadline) } catch {
            throw .notSent(error)
        }
    }

    // MARK: Answers

    /// Sends a request and reads its answer's head, for a body that comes in time; see ``chunk(deadline:)``.
    package func open(
        _ path: String,
        deadline: Deadline = TestCluster.deadline
    ) async throws(WireError) -> WireAnswer {
        try await write(Self.head("GET", path, []), deadline)
        return try await head(deadline: deadline)
    }

    /// The next chunk of the body; `nil` at its end.
    package func chunk(deadline: Deadline = TestCluster.deadline) async throws(WireError) -> [UInt8]? {
        let size = try await line(deadline)
        guard let count = Int(size, radix: 16) else { throw .malformed("chunk size \(size)") }
        let chunk = try await bytes(count, deadline)
        guard try await line(deadline).isEmpty else { throw .malformed("a chunk's end") }
        return count == 0 ? nil : chunk
    }

    /// Reads one answer; interim ones are passed over.
    package func answer(deadline: Deadline = TestCluster.deadline) async throws(WireError) -> WireAnswer {
        var answer = try await head(deadline: deadline)
        answer.body = try await body(of: answer, deadline: deadline)
        return answer
    }

    /// Reads an answer up to its body; interim ones are passed over.
    package func head(deadline: Deadline) async throws(WireError) -> WireAnswer {
        while true {
            if input.isEmpty, try await fill(deadline) == 0 { throw .unanswered }
            let answer = try await anyHead(deadline)
            if answer.status >= 200 { return answer }
        }
    }

    /// Reads the body behind a head.
    package func body(of answer: WireAnswer, deadline: Deadline) async throws(WireError) -> [UInt8] {
        if answer.fields["transfer-encoding"] == "chunked" {
            var body: [UInt8] = []
            while let chunk = try await chunk(deadline: deadline) { body += chunk }
            return body
        }
        if let length = answer.fields["content-length"].flatMap({ Int($0) }) {
            return try await bytes(length, deadline)
        }
        if answer.status == 204 || answer.status == 304 { return [] }
        throw .malformed("neither a length nor chunks")
    }

    private func anyHead(_ deadline: Deadline) async throws(WireError) -> WireAnswer {
        let words = try await line(deadline).split(separator: " ", maxSplits: 2)
        guard words.count >= 2, words[0] == "HTTP/1.1", let status = Int(words[1]) else {
            throw .malformed("status line \(words)")
        }
        var answer = WireAnswer(status: status)
        while true {
            let line = try await line(deadline)
            if line.isEmpty { return answer }
            guard let colon = line.firstIndex(of: ":") else { throw .malformed("field \(line)") }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            answer.fields[line[..<colon].lowercased()] = String(value)
        }
    }

    private func line(_ deadline: Deadline) async throws(WireError) -> String {
        while true {
            let unread = input.bytes[input.readable]
            // Bytes: to Swift, CR LF is one character.
            if let end = unread.firstIndex(of: 10) {
                guard end > unread.startIndex, unread[end - 1] == 13 else { throw .malformed("a line's end") }
                let line = String(decoding: unread[..<(end - 1)], as: UTF8.self)
                input.consume(end + 1 - unread.startIndex)
                return line
            }
            if try await fill(deadline) == 0 { throw .cutShort }
        }
    }

    private func bytes(_ count: Int, _ deadline: Deadline) async throws(WireError) -> [UInt8] {
        while input.count < count {
            if try await fill(deadline) == 0 { throw .cutShort }
        }
        let bytes = Array(input.bytes[input.readable].prefix(count))
        input.consume(count)
        return bytes
    }

    /// Reads more; 0 when the connection has ended, a reset being an end.
    private func fill(_ deadline: Deadline) async throws(WireError) -> Int {
        do throws(StreamError) {
            while true {
                switch try stream.tryRead(into: &input, atMost: 1 << 16) {
                case .bytes(let count): return count
                case .endOfStream: return 0
                case .wouldBlock: try await stream.untilReadable(deadline: deadline)
                }
            }
        } catch .timedOut {
            throw .timedOut
        } catch {
            return 0
        }
    }
}

/// An answer, whole.
package struct WireAnswer: Equatable, Sendable {
    package var status: Int
    /// By their names in lower case.
    package var fields: [String: String] = [:]
    package var body: [UInt8] = []

    package var text: String { String(decoding: body, as: UTF8.self) }
}

/// Why there is no answer.
package enum WireError: Error, Equatable, Sendable {
    /// There is no connection.
    case refused(StreamError)
    /// The server took no more of the request; it may have answered before.
    case notSent(StreamError)
    /// The connection ended before the first byte of an answer.
    case unanswered
    /// The connection ended within the answer.
    case cutShort
    case timedOut
    case malformed(String)
}
