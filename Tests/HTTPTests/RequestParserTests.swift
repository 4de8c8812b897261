import HTTP
import Testing

@Suite struct `Request parser` {
    @Test func `reads line and fields`() throws {
        let head = try #require(
            try parsedHead(
                "POST /v1/events?ack=none HTTP/1.1\r\nHost: localhost:80\r\n"
                    + "content-TYPE: \t text/plain \t\r\nX-Empty:\r\nContent-Length: 12\r\n\r\n"
            )
        )

        #expect(head.method == .post)
        #expect(head.string(head.methodRange) == "POST")
        #expect(head.string(head.target) == "/v1/events?ack=none")
        #expect(head.string(head.path) == "/v1/events")
        #expect(head.query.map(head.string) == "ack=none")
        #expect(head.value(.contentType).map(head.string) == "text/plain")
        #expect(head.value(named: "x-empty")?.isEmpty == true)
        #expect(head.value(named: "x-other") == nil)
        #expect(head.value(.accept) == nil)
        #expect(head.framing == .length(12))
        #expect(head.keepsAlive)
        #expect(head.fieldCount == 4)
    }

    @Test func `finds every known field by its name in any case`() throws {
        for field in KnownField.allCases
        where ![.contentLength, .transferEncoding, .expect, .host].contains(field) {
            let head = try #require(
                try parsedHead("GET / HTTP/1.1\r\nHost: a\r\n\(field.name.uppercased()): v\r\n\r\n")
            )
            #expect(head.value(field).map(head.string) == "v", "\(field)")
        }
    }

    @Test func `keeps storage but no trace of the request before`() throws {
        var parser = RequestParser(limits: HTTPLimits())
        var head = RequestHead()
        let first = Array("OPTIONS * HTTP/1.0\r\nAccept: x\r\nContent-Length: 3\r\n\r\n".utf8)
        let second = Array("GET /a HTTP/1.1\r\nHost: b\r\n\r\n".utf8)

        #expect(try parser.parse(first.span, into: &head) == first.count)
        #expect(try parser.parse(second.span, into: &head) == second.count)

        #expect(head.value(.accept) == nil)
        #expect(head.framing == .none)
        #expect(head.keepsAlive)
        #expect(head.string(head.path) == "/a")
        #expect(head.bytes == second)
    }

    @Test func `leaves an empty head behind an error`() {
        var parser = RequestParser(limits: HTTPLimits())
        var head = RequestHead()
        let bytes = Array("GET /a HTTP/1.1\r\nHost: b\r\nHost: c\r\n\r\n".utf8)

        #expect(throws: RequestError.repeatedField(offset: 26)) { try parser.parse(bytes.span, into: &head) }
        #expect(head.path.isEmpty)
        #expect(head.fieldCount == 0)
    }

    @Test func `decides whether the connection stays open`() throws {
        let cases: [(String, Bool)] = [
            ("HTTP/1.1\r\n", true), ("HTTP/1.1\r\nConnection: close\r\n", false),
            ("HTTP/1.1\r\nConnection: keep-alive, CLOSE\r\n", false),
            ("HTTP/1.1\r\nConnection: x\r\nConnection: close\r\n", false), ("HTTP/1.0\r\n", false),
            ("HTTP/1.1\r\nConnection: \"x, close\r\n", false),
            ("HTTP/1.0\r\nConnection: Keep-Alive\r\n", true),
            ("HTTP/1.0\r\nConnection: keep-alive, close\r\n", false), ("HTTP/1.7\r\n", true),
        ]
        for (text, keeps) in cases {
            let head = try #require(try parsedHead("GET / \(text)Host: a\r\n\r\n"), "\(text)")
            #expect(head.keepsAlive == keeps, "\(text)")
        }
    }

    @Test func `accepts the forms of a target`() throws {
        let cases: [(line: String, path: String, authority: String?)] = [
            ("GET /", "/", nil), ("GET /a//b?x=/?y", "/a//b", nil), ("OPTIONS *", "*", nil),
            ("GET http://h.example:8080/a?b", "/a", "h.example:8080"), ("GET HTTPS://h", "", "h"),
            ("GET http://h?q", "", "h"), ("CONNECT h:443", "", "h:443"),
            ("GET http://[::1]:80/a", "/a", "[::1]:80"),
            ("GET /{a}|\"<>", "/{a}|\"<>", nil),
        ]
        for (line, path, authority) in cases {
            let head = try #require(try parsedHead("\(line) HTTP/1.1\r\nHost: a\r\n\r\n"), "\(line)")
            #expect(head.string(head.path) == path, "\(line)")
            #expect(head.authority.map(head.string) == authority, "\(line)")
        }
    }

    @Test func `knows the methods and takes any other token`() throws {
        for method in Method.allCases where method != .other && method != .connect {
            #expect(try parsedHead("\(method.name) / HTTP/1.1\r\nHost: a\r\n\r\n")?.method == method)
        }
        #expect(try parsedHead("get / HTTP/1.1\r\nHost: a\r\n\r\n")?.method == .other)
        #expect(try parsedHead("M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n")?.method == .other)
    }

    @Test func `accepts valid hosts`() throws {
        for host in [
            "", "a", "a:", "a:80", "127.0.0.1:9", "[::1]", "[fe80::1]:80", "a.", "%41b", "a_b~!$&'()*+,;=",
        ] {
            #expect(try parsedHead("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n") != nil, "\(host)")
        }
        #expect(try parsedHead("GET / HTTP/1.0\r\n\r\n") != nil)
    }

    @Test func `takes one content length said several times`() throws {
        let head = try parsedHead(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 7, 07\r\nContent-Length: 7\r\n\r\n"
        )
        #expect(head?.framing == .length(7))
    }

    @Test func `expects a continue only where there is a body to wait for`() throws {
        let cases: [(String, Bool)] = [
            ("HTTP/1.1\r\nContent-Length: 3", true), ("HTTP/1.1\r\nTransfer-Encoding: chunked", true),
            ("HTTP/1.1\r\nContent-Length: 0", false), ("HTTP/1.1\r\nX: y", false),
            ("HTTP/1.0\r\nContent-Length: 3", false),
        ]
        for (text, expects) in cases {
            let head = try #require(
                try parsedHead("PUT / \(text)\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n")
            )
            #expect(head.expectsContinue == expects, "\(text)")
        }
        #expect(try parsedHead("PUT / HTTP/1.0\r\nExpect: wonders\r\n\r\n") != nil)
    }

    @Test func `joins the lines of a list field`() throws {
        let head = try #require(
            try parsedHead(
                "GET / HTTP/1.1\r\nAccept: a\r\nHost: b\r\naccept: c\r\nAccept-Encoding: gzip\r\n\r\n"
            )
        )
        #expect(head.isRepeated(.accept))
        #expect(head.list(.accept) == Array("a,c".utf8))
        #expect(head.list(.acceptEncoding) == Array("gzip".utf8))
        #expect(head.list(.origin) == nil)
    }
}

@Suite struct `Refused heads` {
    /// `~` stands for the end of the line and the rest of a good request.
    static let cases: [(text: String, status: Int)] = [
        ("\n", 400), ("\rG", 400), (" GET / HTTP/1.1~", 400), ("GET  / HTTP/1.1~", 400), ("GET /\r\n", 400),
        ("GET / \r\n", 400), ("GET\t/ HTTP/1.1~", 400), ("GE(T / HTTP/1.1~", 400), ("GET / HTTP/1.1 ~", 400),
        ("GET / http/1.1~", 400), ("GET / HTTP/1.10~", 400), ("GET / HTTP/11.1~", 400),
        ("GET / HTTP/1,1~", 400),
        ("GET / HTTP/1.1\n", 400), ("GET / HTTP/1.1\rH", 400), ("GET / HTP\r\n", 400),
        ("GET / HTTP/2.0~", 505),
        ("GET / HTTP/0.9~", 505), ("PRI * HTTP/2.0\r\n", 505), ("GET a HTTP/1.1~", 400),
        ("GET * HTTP/1.1~", 400),
        ("GET /a#b HTTP/1.1~", 400), ("GET /é HTTP/1.1~", 400), ("GET /\u{1} HTTP/1.1~", 400),
        ("GET ftp://a/ HTTP/1.1~", 400), ("GET http:///a HTTP/1.1~", 400), ("GET http://u@h/ HTTP/1.1~", 400),
        ("GET a:80 HTTP/1.1~", 400), ("CONNECT / HTTP/1.1~", 400), ("CONNECT a HTTP/1.1~", 400),
        ("\(String(repeating: "M", count: 33))", 501), ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a~", 400), ("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: a~", 400), ("GET / HTTP/1.1\r\nX: a\r\n b~", 400),
        ("GET / HTTP/1.1\r\nX : a~", 400), ("GET / HTTP/1.1\r\n: a~", 400), ("GET / HTTP/1.1\r\nX\r\n", 400),
        ("GET / HTTP/1.1\r\nX: a\nY: b~", 400), ("GET / HTTP/1.1\r\nX: a\rb~", 400),
        ("GET / HTTP/1.1\r\nX: a\0b~", 400), ("GET / HTTP/1.1\r\nX: a\u{7F}~", 400),
        ("GET / HTTP/1.1\r\nX@: a~", 400), ("GET / HTTP/1.1\r\nX: a\r\n\rY", 400),
        ("GET / HTTP/1.1\r\nContent-Type: a/b\r\nContent-Type: a/b~", 400),
        ("GET / HTTP/1.1\r\nContent-Length: ~", 400), ("GET / HTTP/1.1\r\nContent-Length: +1~", 400),
        ("GET / HTTP/1.1\r\nContent-Length: 1,~", 400), ("GET / HTTP/1.1\r\nContent-Length: 1, 2~", 400),
        ("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2~", 400),
        ("GET / HTTP/1.1\r\nContent-Length: 9223372036854775808~", 413),
        ("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999999~", 413),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1~", 400),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked~", 400),
        ("GET / HTTP/1.1\r\nTransfer-Encoding:~", 400),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked~", 400),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked~", 400),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip~", 400),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked~", 501),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: identity~", 501),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"~", 501),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked;a=b~", 501),
        ("GET / HTTP/1.1\r\nExpect: wonders~", 417),
        ("GET / HTTP/1.1\r\nExpect: 100-continue, wonders~", 417),
    ]

    @Test func `answer with their status wherever they are cut`() {
        for (text, status) in Self.cases {
            let bytes = Array(text.replacing("~", with: "\r\nHost: a\r\n\r\n").utf8)
            let whole = Conversation(whole: bytes)
            #expect(
                whole.error?.status == status,
                "\(text.debugDescription): \(String(describing: whole.error))"
            )
            #expect(Conversation(dribbled: bytes) == whole, "\(text.debugDescription)")
        }
    }

    @Test func `include hosts that are none`() {
        for host in [
            "a b", "u@h", "<h>", "a\tb", "a:b", "a:-1", ":80", "[::1", "[1]", "[::g]", "a%4", "a/b", "a:1:2",
            "é",
        ] {
            let error = #expect(throws: RequestError.self, "\(host)") {
                _ = try parsedHead("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n")
            }
            #expect(error?.status == 400)
        }
    }

    @Test func `have a code and a sentence`() {
        for (text, _) in Self.cases {
            let bytes = Array(text.replacing("~", with: "\r\nHost: a\r\n\r\n").utf8)
            let error = Conversation(whole: bytes).error
            #expect(error?.code.contains(" ") == false)
            #expect(error?.detail.hasSuffix(".") == true)
        }
    }
}

@Suite struct `Head limits` {
    private func status(_ text: String, _ change: (inout HTTPLimits) -> Void) -> Int? {
        var limits = HTTPLimits()
        change(&limits)
        let bytes = Array(text.utf8)
        let whole = Conversation(whole: bytes, limits: limits)
        #expect(Conversation(dribbled: bytes, limits: limits) == whole)
        return whole.error?.status
    }

    @Test func `bound the target`() {
        let target = "/" + String(repeating: "a", count: 99)
        #expect(status("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n") { $0.targetBytesMax = 100 } == nil)
        #expect(status("GET \(target)a HTTP/1.1\r\nHost: a\r\n\r\n") { $0.targetBytesMax = 100 } == 414)
        #expect(status("GET /?\(target)\0") { $0.targetBytesMax = 100 } == 414)
    }

    @Test func `bound the head`() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "x", count: 100))\r\n\r\n"
        #expect(status(text) { $0.headBytesMax = text.utf8.count } == nil)
        #expect(status(text) { $0.headBytesMax = text.utf8.count - 1 } == 431)
        #expect(
            status("GET / HTTP/1.1\r\n" + String(repeating: "A: b\r\n", count: 40_000)) {
                $0.fieldsMax = 60_000
            } == 431
        )
    }

    @Test func `bound the fields`() {
        let fields = String(repeating: "X: y\r\n", count: 9)
        #expect(status("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n") { $0.fieldsMax = 10 } == nil)
        #expect(status("GET / HTTP/1.1\r\nHost: a\r\nY: z\r\n\(fields)\r\n") { $0.fieldsMax = 10 } == 431)
    }

    @Test func `bound the empty lines before a request`() {
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        #expect(status("\r\n\r\n\(request)") { $0.emptyLinesMax = 2 } == nil)
        #expect(status("\r\n\r\n\r\n\(request)") { $0.emptyLinesMax = 2 } == 400)
        #expect(status("\(request)\r\n\r\n\(request)\r\n\(request)") { $0.emptyLinesMax = 2 } == nil)
    }

    /// Each call looks only at what is new: all that was there has been scanned when it returns.
    @Test func `let a dribbled head of 32 KiB be looked at once`() throws {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "x y ", count: 8000))\r\n\r\n"
        let bytes = Array(head.utf8)
        var parser = RequestParser(limits: HTTPLimits())
        var parsed = RequestHead()
        var lookedAt = 0
        for arrived in 1..<bytes.count {
            let before = parser.scanned
            #expect(before == arrived - 1)
            guard try parser.parse(bytes.span.extracting(0..<arrived), into: &parsed) == nil else {
                Issue.record("complete after \(arrived) of \(bytes.count) bytes")
                return
            }
            lookedAt += parser.scanned - before
        }
        #expect(lookedAt == bytes.count - 1)
        #expect(try parser.parse(bytes.span, into: &parsed) == bytes.count)
    }
}
