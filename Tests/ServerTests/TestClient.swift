import HTTP
import Reactor
import Testing

/// One answer, as a client sees it.
struct Answer: Sendable {
    var status = 0
    var fields: [(name: String, value: String)] = []
    var body: [UInt8] = []
    /// The status line and fields as they came.
    var head = ""

    var text: String { String(decoding: body, as: UTF8.self) }

    subscript(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    var closes: Bool { self["connection"] == "close" }

    /// The value of a string or number member of a flat JSON body.
    func member(_ name: String) -> String? {
        guard let start = text.firstRange(of: "\"\(name)\":")?.upperBound else { return nil }
        let rest = text[start...].drop { $0 == " " || $0 == "\"" }
        return String(rest.prefix { $0 != "\"" && $0 != "," && $0 != "}" })
    }
}

/// A client that sends bytes as they are and reads answers one by one.
final class TestClient {
    let stream: ByteStream
    /// Large enough never to grow for a read: growing is slow in debug builds.
    private var input = ReadBuffer(capacity: 1 << 17)

    enum Failure: Error, Equatable {
        case ended(after: String)
        case malformed(String)
    }

    init(_ stream: ByteStream) {
        self.stream = stream
    }

    func send(_ bytes: [UInt8]) async throws {
        try await stream.write(bytes, deadline: TestServer.patience)
    }

    func send(_ text: String) async throws { try await send(Array(text.utf8)) }

    func close() { stream.close() }

    /// The next answer; interim ones (1xx) are answers, too.
    func answer(isHead: Bool = false) async throws -> Answer {
        guard let answer = try await nextAnswer(isHead: isHead) else { throw Failure.ended(after: "") }
        return answer
    }

    /// Whether nothing has arrived that has not been read.
    func hasNothing() throws -> Bool {
        try input.isEmpty && stream.tryRead(into: &input, atMost: 4096) == .wouldBlock
    }

    /// All answers until the server closes the connection.
    func answersToEnd() async throws -> [Answer] {
        var answers: [Answer] = []
        while let answer = try await nextAnswer(isHead: false) { answers.append(answer) }
        return answers
    }

    /// Reads until `text` has come, and returns what came up to its end.
    func receive(through text: String) async throws -> String {
        let end = Array(text.utf8)
        while true {
            if let range = input.bytes[input.readable].firstRange(of: end) {
                let received = self.text(input.readable.lowerBound..<range.upperBound)
                input.consume(range.upperBound - input.readable.lowerBound)
                return received
            }
            if try await fill() == false { throw Failure.ended(after: self.text(input.readable)) }
        }
    }

    /// The next chunk of a chunked body; empty at its end.
    func chunk() async throws -> [UInt8] {
        let size = Int(try await receive(through: "\r\n").dropLast(1), radix: 16) ?? 0
        while input.count < size + 2 {
            if try await fill() == false { throw Failure.ended(after: "a chunk's \(input.count) bytes") }
        }
        defer { input.consume(size + 2) }
        return Array(input.bytes[input.readable].prefix(size))
    }

    /// Reads what comes until the server closes the connection.
    func untilEnd() async throws -> String {
        while try await fill() {}
        defer { input.removeAll() }
        return text(input.readable)
    }

    private func nextAnswer(isHead: Bool) async throws -> Answer? {
        guard let end = try await endOfHead() else {
            if input.isEmpty { return nil }
            throw Failure.ended(after: text(input.readable))
        }
        var answer = Answer()
        answer.head = text(input.readable.lowerBound..<end)
        input.consume(end - input.readable.lowerBound)
        let lines = answer.head.split(separator: "\r\n")
        guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
            throw Failure.malformed(answer.head)
        }
        answer.status = status
        answer.fields = lines.dropFirst().map { line in
            let parts = line.split(separator: ": ", maxSplits: 1, omittingEmptySubsequences: false)
            return (parts[0].lowercased(), parts.count > 1 ? String(parts[1]) : "")
        }
        if isHead || status < 200 || status == 204 { return answer }
        try await readBody(of: &answer)
        return answer
    }

    private func readBody(of answer: inout Answer) async throws {
        let framing: BodyFraming =
            if let length = answer["content-length"].flatMap({ Int($0) }) { .length(length) } else {
                .chunked
            }
        if answer["transfer-encoding"] == nil, framing == .chunked {
            while try await fill() {}
            answer.body = Array(input.bytes[input.readable])
            input.removeAll()
            return
        }
        var decoder = BodyDecoder(framing, limits: HTTPLimits(), bodyBytesMax: nil)
        while true {
            let used = try input.withReadable { input throws(RequestError) in
                try decoder.decode(input, into: &answer.body)
            }
            input.consume(used)
            if decoder.isComplete { return }
            if try await fill() == false { throw Failure.ended(after: answer.head + answer.text) }
        }
    }

    private func endOfHead() async throws -> Int? {
        var searched = 0
        while true {
            let start = input.readable.lowerBound
            let bytes = input.bytes
            var index = start + searched
            while index + 4 <= input.readable.upperBound {
                if bytes[index] == 13, bytes[index + 1] == 10, bytes[index + 2] == 13, bytes[index + 3] == 10
                {
                    return index + 4
                }
                index += 1
            }
            searched = index - start
            if try await fill() == false { return nil }
        }
    }

    /// Reads more; `false` at the end.
    private func fill() async throws -> Bool {
        do throws(StreamError) {
            return try await stream.read(into: &input, atMost: 65_536, deadline: TestServer.patience) > 0
        } catch {
            throw error
        }
    }

    private func text(_ range: Range<Int>) -> String { String(decoding: input.bytes[range], as: UTF8.self) }
}
