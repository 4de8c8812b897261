import Events
import Testing

@testable import Workers

@Suite struct `Messages` {
    static let samples: [WorkerMessage] = [
        .helloNo(reason: "old"), .result(token: 1, encoding: "e", body: [1], residentBytes: 2048),
        .fail(token: .max, cause: .permanent, message: "m"), .progress(token: 2, done: 3, total: 4),
        .partial(token: 5), .pong(n: 6, residentBytes: nil), .log(level: "warning", message: "l"),
        .bye(reason: "drain"), .unknown(FrameType(rawValue: 0x70)),
    ]

    @Test func `of a worker come back from their frames`() throws {
        for message in Self.samples { #expect(try WorkerMessage(message.frame(sequence: 1)) == message) }
    }

    @Test func `of the supervisor come back from their frames`() throws {
        let job = WorkerJob(
            id: 1,
            token: 2,
            kind: "k",
            timeout: .milliseconds(1500),
            items: 3,
            body: [4],
            parameters: ["p": 5]
        )
        guard case .job(let order) = try SupervisorMessage(SupervisorMessage.frame(for: job, sequence: 9))
        else {
            Issue.record("not a JOB")
            return
        }
        #expect(order.id == 1 && order.token == 2 && order.kind == "k" && order.timeoutMilliseconds == 1500)
        #expect(order.encoding == "ndjson" && order.items == 3 && order.body == [4])
        #expect(order.parameters == ["p": 5])
        #expect(try SupervisorMessage(SupervisorMessage.pingFrame(n: 3)) == .ping(n: 3))
        #expect(
            try SupervisorMessage(SupervisorMessage.cancelFrame(sequence: 1, reason: .drain))
                == .cancel(sequence: 1, .drain)
        )
        #expect(try SupervisorMessage(SupervisorMessage.drainFrame) == .drain)
        var hello = SupervisorMessage.Hello()
        hello.capabilities = ["cancel"]
        hello.slot = 4
        #expect(try SupervisorMessage(SupervisorMessage.frame(for: hello)) == .hello(hello))
    }

    @Test func `tell a worker which trace its job belongs to`() throws {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        func header(_ trace: String?) throws -> [String: JSONValue] {
            let job = WorkerJob(id: 1, token: 2, kind: "k", timeout: .seconds(1), trace: trace)
            return try JSONReader.object(SupervisorMessage.frame(for: job, sequence: 9).header)
        }

        #expect(try header(trace)["traceparent"] == .string(trace))
        #expect(try header(nil)["traceparent"] == nil)
        #expect(WorkerJob.traceID(in: trace) == "4bf92f3577b34da6a3ce929d0e0e4736")
    }

    @Test func `without what they need are refused`() {
        let refused: [Frame] = [
            Frame(.result, sequence: 1), Frame(.fail, sequence: 1, header: Array(#"{"token":1}"#.utf8)),
            Frame(.fail, sequence: 1, header: Array(#"{"token":1,"cause":"crash"}"#.utf8)),
            Frame(.helloOK, sequence: 0, header: Array(#"{"version":1,"caps":[1],"kinds":[]}"#.utf8)),
            Frame(.result, sequence: 1, header: Array(#"{"token":"1"}"#.utf8)),
            Frame(FrameType(rawValue: 0x80), sequence: 1),
        ]
        for frame in refused {
            #expect(throws: MessageError.self, "\(frame)") { try WorkerMessage(frame) }
        }
    }

    @Test func `of failure are cut to 4 KiB between characters`() throws {
        let message = WorkerMessage.fail(
            token: 1,
            cause: .error,
            message: "a" + String(repeating: "é", count: 4000)
        )
        guard case .fail(_, _, let text) = try WorkerMessage(message.frame(sequence: 1)) else {
            Issue.record("not a FAIL")
            return
        }
        #expect(text.utf8.count == 4095)
    }
}

@Suite struct `A worker's log` {
    static func take(_ log: inout WorkerLog, _ text: String, now: Duration = .zero) -> [String] {
        let bytes = Array(text.utf8)
        return log.take(bytes.span, now: now)
    }

    @Test func `is cut into lines, across reads`() {
        var log = WorkerLog()
        #expect(Self.take(&log, "one\ntw") == ["one"])
        #expect(Self.take(&log, "o\r\n\nthree") == ["two"])
        #expect(log.finish() == ["three"])
        #expect(log.tail(atMost: 8) == "\r\n\nthree")
    }

    @Test func `cuts long lines and keeps only its end`() {
        var limits = WorkerLogLimits()
        limits.lineBytesMax = 4
        limits.tailBytesMax = 5
        var log = WorkerLog(limits: limits)
        #expect(Self.take(&log, "abcdefgh\ni") == ["abcd", "efgh"])
        #expect(log.tail(atMost: 100) == "fgh\ni")
    }

    @Test func `is dropped over its rate, until the next second`() {
        var limits = WorkerLogLimits()
        limits.bytesPerSecondMax = 6
        var log = WorkerLog(limits: limits)
        #expect(Self.take(&log, "abcd\nefgh\nij\n") == ["abcd", "ij"])
        #expect(log.takeDropped() == 4)
        #expect(Self.take(&log, "kl\n", now: .seconds(1)) == ["kl"])
        #expect(log.takeDropped() == 0)
    }
}
