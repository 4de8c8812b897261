import Testing

@testable import millrace

/// Feeds `pieces` and then the end of the connection.
private func parse(_ pieces: [[UInt8]]) throws(ResponseError) -> (HTTPResponse, rest: Int) {
    var parser = ResponseParser()
    var rest = 0
    for piece in pieces { rest += piece.count - (try parser.take(piece.span)) }
    if !parser.isComplete { try parser.takeEnd() }
    return (parser.response, rest)
}

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

@Suite struct `An answer of a server` {
    private static let answers: [(text: String, status: Int, body: String, keepsAlive: Bool)] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true),
        ("HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", 200, "", true),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false),
        ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true),
        ("HTTP/1.1 503 Busy\r\nConnection: foo, Close\r\nContent-Length: 2, 2\r\n\r\nno", 503, "no", false),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 1\r\n\r\nx", 201, "x", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: 1\r\n\r\n",
            200, "abcde", true
        ),
        ("HTTP/1.1 200 OK\nX: y\nContent-Length: 1\n\nz", 200, "z", true),
        ("HTTP/1.1 200 OK\r\nX: y\r\n\r\nuntil the end", 200, "until the end", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nends", 200, "ends", false),
    ]

    @Test func `is the same wherever the reads cut it`() throws {
        for answer in Self.answers {
            let whole = bytes(answer.text)
            for split in 0...whole.count {
                let (response, rest) = try parse([Array(whole[..<split]), Array(whole[split...])])
                #expect(response.status == answer.status, "\(answer.text) at \(split)")
                #expect(
                    String(decoding: response.body, as: UTF8.self) == answer.body,
                    "\(answer.text) at \(split)"
                )
                #expect(response.keepsAlive == answer.keepsAlive, "\(answer.text) at \(split)")
                #expect(rest == 0)
            }
            let (response, _) = try parse(whole.map { [$0] })
            #expect(String(decoding: response.body, as: UTF8.self) == answer.body, "\(answer.text) by bytes")
        }
    }

    @Test func `leaves alone what follows it`() throws {
        let whole = bytes("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 500")
        for split in 0...whole.count {
            let (response, rest) = try parse([Array(whole[..<split]), Array(whole[split...])])
            #expect(response.body == bytes("x"))
            #expect(rest == 12)
        }
    }

    @Test func `is refused when it ends anywhere before its end`() throws {
        for answer in Self.answers where answer.text.contains("ength: ") || answer.text.contains("chunked") {
            if answer.text.contains("gzip") { continue }
            let whole = bytes(answer.text)
            for count in 0..<whole.count {
                #expect(throws: ResponseError.cutShort, "\(answer.text) after \(count)") {
                    try parse([Array(whole[..<count])])
                }
            }
        }
    }

    @Test func `is refused when it is malformed`() {
        let refused: [(String, ResponseError)] = [
            ("HTTP/2 200 OK\r\n\r\n", .malformedHead(line: 1)),
            ("HTTP/1.1 20x OK\r\n\r\n", .malformedHead(line: 1)),
            ("HTTP/1.1 +20 OK\r\n\r\n", .malformedHead(line: 1)),
            ("HTTP/1.1 999 OK\r\n\r\n", .malformedHead(line: 1)),
            ("HTTP/1.1\r\n\r\n", .malformedHead(line: 1)),
            ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", .malformedHead(line: 2)),
            ("HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", .malformedHead(line: 2)),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", .malformedHead(line: 3)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n", .malformedHead(line: 3)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", .bodyTooLarge),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", .malformedBody),
            (String(repeating: "x", count: ResponseParser.headBytesMax + 1), .headTooLarge),
        ]
        for (text, error) in refused {
            #expect(throws: error, "\(text.prefix(60))") { try parse([bytes(text)]) }
        }
    }

    @Test func `gives its fields by their names in lower case`() throws {
        let (response, _) = try parse([bytes("HTTP/1.1 204 N\r\nRetry-After:  7 \r\n\r\n")])
        #expect(response.value(of: "retry-after") == "7")
        #expect(response.value(of: "etag") == nil)
    }
}
