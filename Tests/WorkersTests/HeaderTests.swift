import Testing
import Workers

@Suite struct `Header JSON` {
    static func read(_ text: String) throws(HeaderError) -> [String: HeaderValue] {
        try HeaderReader.object(Array(text.utf8))
    }

    @Test func `is read into values`() throws {
        let text = #" {"a":1,"b":-2.5e1,"c":[true,false,null,[]],"d":{"e":"x"},"f":9223372036854775808} "#
        let expected: [String: HeaderValue] = [
            "a": 1, "b": .number(-25), "c": [.bool(true), .bool(false), .null, []], "d": ["e": "x"],
            "f": .number(9_223_372_036_854_775_808),
        ]
        #expect(try Self.read(text) == expected)
        #expect(try Self.read("") == [:])
    }

    @Test func `strings are unescaped`() throws {
        let text = #"{"s":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}"#
        #expect(try Self.read(text)["s"]?.string == "\"\\/\u{8}\u{c}\n\r\té😀")
    }

    @Test func `that is written is read back`() throws {
        let value: HeaderValue = ["s": "a\"b\\c\n\u{1}é", "n": -7, "l": ["x", 1], "o": ["k": .bool(true)]]
        #expect(try HeaderReader.object(value.bytes) == value.object)
    }

    @Test func `is refused when it is not an object of JSON`() {
        let refused = [
            "{", "}", "[1]", "1", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":01}", "{\"a\":1.}",
            "{\"a\":+1}",
            "{\"a\":\"\u{1}\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\ud800\\u0041\"}",
            "{\"a\":nul}", "{\"a\":1} x", "{'a':1}", "{\"a\":1e999}", "{\"a\":\"", "nonsense",
        ]
        for text in refused {
            #expect(throws: HeaderError.self, "\(text)") { try Self.read(text) }
        }
        #expect(throws: HeaderError.self) {
            try HeaderReader.object(Array("{\"a\":\"".utf8) + [0xff, 0x22, 0x7d])
        }
    }

    @Test func `is refused at every truncation`() {
        let text = Array(#"{"a":[1,{"b":"c\n"}],"d":true}"#.utf8)
        for count in 1..<text.count {
            #expect(throws: HeaderError.self, "\(count) bytes") {
                try HeaderReader.object(Array(text[..<count]))
            }
        }
    }

    @Test func `may be nested 32 deep and no deeper`() throws {
        func nested(_ depth: Int) -> String {
            "{\"a\":" + String(repeating: "[", count: depth - 1) + String(repeating: "]", count: depth - 1)
                + "}"
        }
        _ = try Self.read(nested(32))
        #expect(throws: HeaderError.tooDeep(limit: 32)) { try Self.read(nested(33)) }
    }
}

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
                == .cancel(.drain)
        )
        #expect(try SupervisorMessage(SupervisorMessage.drainFrame) == .drain)
        var hello = SupervisorMessage.Hello()
        hello.capabilities = ["cancel"]
        hello.slot = 4
        #expect(try SupervisorMessage(SupervisorMessage.frame(for: hello)) == .hello(hello))
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
