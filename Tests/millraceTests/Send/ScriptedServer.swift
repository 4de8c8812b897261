import HTTP
import Reactor

@testable import millrace

/// A server that keeps the lines it is sent and misbehaves on request. Lives on the test's loop.
actor ScriptedServer {
    /// What one request gets.
    enum Behaviour: Sendable {
        /// Keeps the lines; a line that was kept before is a duplicate, one that says "bad" is rejected.
        case store
        /// Keeps the lines of a short body; refuses a longer one with 413.
        case storeUpTo(bytes: Int)
        /// Keeps nothing and answers so.
        case refuse(status: Int, fields: String = "", body: String = "")
        /// Keeps the lines, answers half and closes.
        case storeAndBreak
        /// Keeps nothing and says nothing, until the client goes.
        case hold
        /// Keeps nothing and closes in place of an answer.
        case vanish
        /// Keeps the lines and closes after the answer, without having said so.
        case storeAndClose
        /// Answers before it has read the body, and closes.
        case refuseEarly(status: Int)
    }

    private let loop: EventLoop
    private let listener: Listener
    private let behaviour: @Sendable (Int) -> Behaviour
    private(set) var requests = 0
    private(set) var kept: Set<String> = []
    private(set) var paths: Set<String> = []

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    nonisolated var url: ServerURL {
        ServerURL(address: ListenAddress(host: "127.0.0.1", port: listener.address.port))
    }

    /// A server on the loop; `behaviour` is asked for each request, counted from 0.
    init(on loop: EventLoop, _ behaviour: @escaping @Sendable (Int) -> Behaviour) throws {
        self.loop = loop
        self.behaviour = behaviour
        listener = try Listener(
            ListeningSocket(host: "127.0.0.1", port: 0, reusePort: false, backlog: 64),
            on: loop
        )
    }

    /// Takes connections until ``close()``, which ends this task; each connection ends with its client.
    func start() {
        Task(executorPreference: loop) {
            while let accepted = try? await self.listener.accept() {
                Task(executorPreference: self.loop) { await self.serve(accepted.stream) }
            }
        }
    }

    func close() { listener.close() }

    private func serve(_ stream: ByteStream) async {
        var input = ReadBuffer(capacity: 1 << 16)
        while (try? await serveOne(stream, &input)) == true {}
        stream.close()
    }

    /// Serves one request; `false` when it was the last of the connection.
    private func serveOne(_ stream: ByteStream, _ input: inout ReadBuffer) async throws -> Bool {
        var head = RequestHead()
        var parser = RequestParser(limits: HTTPLimits())
        while true {
            let bytes = Array(input.bytes[input.readable])
            if let count = try parser.parse(bytes.span, into: &head) {
                input.consume(count)
                break
            }
            if try await stream.read(into: &input, atMost: 4_096, deadline: .never) == 0 { return false }
        }
        paths.insert(head.string(head.path))
        let behaviour = behaviour(requests)
        requests += 1
        if case .refuseEarly(let status) = behaviour {
            try await answer(status, "", to: stream)
            return false
        }
        var decoder = BodyDecoder(head.framing, limits: HTTPLimits(), bodyBytesMax: nil)
        var body: [UInt8] = []
        while !decoder.isComplete {
            let bytes = Array(input.bytes[input.readable])
            input.consume(try decoder.decode(bytes.span, into: &body))
            if decoder.isComplete { break }
            if try await stream.read(into: &input, atMost: 4_096, deadline: .never) == 0 { return false }
        }
        return try await act(behaviour, body, stream)
    }

    private func act(_ behaviour: Behaviour, _ body: [UInt8], _ stream: ByteStream) async throws -> Bool {
        switch behaviour {
        case .vanish: return false
        case .hold:
            var nothing = ReadBuffer(capacity: 1)
            _ = try await stream.read(into: &nothing, atMost: 1, deadline: .never)
            return false
        case .refuse(let status, let fields, let text):
            try await answer(status, text, fields: fields, to: stream)
            return true
        case .refuseEarly: return false
        case .storeUpTo(let bytes) where body.count > bytes:
            try await answer(413, "", to: stream)
            return true
        case .store, .storeUpTo:
            let (status, text) = keep(body)
            try await answer(status, text, to: stream)
            return true
        case .storeAndClose:
            let (status, text) = keep(body)
            try await answer(status, text, to: stream)
            return false
        case .storeAndBreak:
            let (status, text) = keep(body)
            let whole = Self.message(status, text, fields: "")
            try await stream.write(Array(whole.prefix(whole.count - text.utf8.count / 2)), deadline: .never)
            return false
        }
    }

    private func keep(_ body: [UInt8]) -> (Int, String) {
        var (stored, duplicates) = (0, 0)
        var errors: [String] = []
        let lines = body.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
        for (index, line) in lines.enumerated() {
            if line.contains("bad") {
                errors.append(
                    #"{"index":\#(index),"id":"\#(line)","code":"missing_type","pointer":"","detail":"no"}"#
                )
            } else if kept.insert(line).inserted {
                stored += 1
            } else {
                duplicates += 1
            }
        }
        let text = """
            {"received":\(lines.count),"stored":\(stored),"duplicates":\(duplicates),\
            "rejected":\(errors.count),"errors":[\(errors.prefix(100).joined(separator: ","))]}
            """
        return (stored + duplicates == 0 && !errors.isEmpty ? 422 : 200, text)
    }

    private func answer(
        _ status: Int,
        _ body: String,
        fields: String = "",
        to stream: ByteStream
    ) async throws {
        try await stream.write(Self.message(status, body, fields: fields), deadline: .never)
    }

    private static func message(_ status: Int, _ body: String, fields: String) -> [UInt8] {
        Array("HTTP/1.1 \(status) X\r\nContent-Length: \(body.utf8.count)\r\n\(fields)\r\n\(body)".utf8)
    }
}
