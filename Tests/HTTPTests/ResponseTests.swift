import HTTP
import Testing

@Suite struct `Response head` {
    private static let date = HTTPDate(secondsSince1970: 784_111_777).bytes

    private func text(_ head: ResponseHead) -> String {
        var output = Array("before|".utf8)
        head.append(to: &output)
        return String(decoding: output.dropFirst(7), as: UTF8.self)
    }

    @Test func `is written byte for byte`() {
        let head = ResponseHead(
            status: 200,
            contentType: "application/json",
            fields: [("X-Request-Id", "r1"), ("Vary", "Origin")],
            framing: .length(120),
            date: Self.date
        )
        #expect(
            text(head)
                == "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                + "Content-Type: application/json\r\nX-Request-Id: r1\r\nVary: Origin\r\n"
                + "Content-Length: 120\r\n\r\n"
        )
    }

    @Test func `says how the body ends`() {
        let endings: [(ResponseFraming, Bool, String)] = [
            (.length(0), false, "Content-Length: 0\r\n"), (.chunked, false, "Transfer-Encoding: chunked\r\n"),
            (.none, false, ""), (.untilClose, true, "Connection: close\r\n"),
            (.length(9), true, "Content-Length: 9\r\nConnection: close\r\n"),
        ]
        for (framing, closes, fields) in endings {
            let head = ResponseHead(status: 204, framing: framing, closes: closes, date: Self.date)
            #expect(
                text(head)
                    == "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\(fields)\r\n"
            )
        }
    }

    @Test func `tells old clients that it stays`() {
        var head = ResponseHead(status: 200, framing: .length(1), date: Self.date)
        head.announcesKeepAlive = true
        #expect(text(head).hasSuffix("Content-Length: 1\r\nConnection: keep-alive\r\n\r\n"))
        head.closes = true
        #expect(text(head).hasSuffix("Content-Length: 1\r\nConnection: close\r\n\r\n"))
    }

    @Test func `keeps a client's words within their line`() {
        let head = ResponseHead(
            status: 201,
            fields: [("Location", "/a\r\nSet-Cookie: b\0ü")],
            framing: .none,
            date: Self.date
        )
        #expect(text(head).contains("\r\nLocation: /a  Set-Cookie: b ü\r\n\r\n"))
    }

    @Test func `has a reason for each status in use`() {
        for status in [
            100, 200, 201, 202, 204, 304, 400, 404, 405, 408, 413, 414, 415, 417, 422, 429, 431, 500, 501,
            503, 505,
        ] {
            #expect(!StatusLine.reason(status).isEmpty, "\(status)")
            let head = ResponseHead(status: status, framing: .none, date: Self.date)
            #expect(text(head).hasPrefix("HTTP/1.1 \(status) \(StatusLine.reason(status))\r\nDate: "))
        }
    }

    @Test func `writes the interim answer`() {
        var output: [UInt8] = []
        ResponseHead.appendContinue(to: &output)
        #expect(output == Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
    }
}

@Suite struct `Response chunks` {
    @Test func `are written byte for byte`() {
        var output: [UInt8] = []
        ResponseChunk.append(Array("hello".utf8), to: &output)
        ResponseChunk.append([], to: &output)
        ResponseChunk.append([UInt8](repeating: 97, count: 26), to: &output)
        ResponseChunk.appendEnd(to: &output)
        let expected = "5\r\nhello\r\n1a\r\n\(String(repeating: "a", count: 26))\r\n0\r\n\r\n"
        #expect(String(decoding: output, as: UTF8.self) == expected)
    }

    @Test func `are understood by the body decoder at any size`() throws {
        for size in [1, 9, 10, 15, 16, 17, 255, 256, 4095, 4096, 65_536] {
            let bytes = [UInt8](repeating: 7, count: size)
            var encoded: [UInt8] = []
            ResponseChunk.append(bytes, to: &encoded)
            ResponseChunk.appendEnd(to: &encoded)
            var decoder = BodyDecoder(.chunked, limits: HTTPLimits(), bodyBytesMax: nil)
            var output: [UInt8] = []
            #expect(try decoder.decode(encoded.span, into: &output) == encoded.count)
            #expect(output == bytes)
            #expect(decoder.isComplete)
        }
    }
}

@Suite struct `Server-sent events` {
    private func text(_ body: (inout [UInt8]) -> Void) -> String {
        var output: [UInt8] = []
        body(&output)
        return String(decoding: output, as: UTF8.self)
    }

    @Test func `carry id, name and data`() {
        let data = Array("{}".utf8)
        #expect(
            text { ServerSentEvent.append(id: "7", event: "e", data: data.span, to: &$0) }
                == "id: 7\nevent: e\ndata: {}\n\n"
        )
    }

    @Test func `break data at every kind of line end and nowhere else`() {
        let data = Array("a\nb\r\nc\rd\n".utf8)
        #expect(
            text { ServerSentEvent.append(data: data.span, to: &$0) }
                == "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"
        )
        let nothing: [UInt8] = []
        #expect(
            text { ServerSentEvent.append(id: "a\nb", data: nothing.span, to: &$0) } == "id: a b\ndata: \n\n"
        )
    }

    @Test func `keep a silent stream alive by comments`() {
        #expect(text { ServerSentEvent.appendComment("still here", to: &$0) } == ": still here\n\n")
    }
}

@Suite struct `HTTP date` {
    @Test func `is right on known days`() {
        let known: [(Int64, String)] = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"), (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (1_735_689_600, "Wed, 01 Jan 2025 00:00:00 GMT"),
            (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (-5, "Thu, 01 Jan 1970 00:00:00 GMT"), (Int64.max, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ]
        for (seconds, text) in known {
            #expect(String(decoding: HTTPDate(secondsSince1970: seconds).bytes, as: UTF8.self) == text)
        }
    }

    /// Counts the days of 450 years one by one, a whole cycle of leap years and more.
    @Test func `follows the calendar day by day`() {
        var (year, month, day, weekday) = (1970, 1, 1, 4)
        let names = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        var seconds: Int64 = 43_200
        while year < 2420 {
            let digits = day < 10 ? "0\(day)" : "\(day)"
            let expected = "\(names[weekday]), \(digits) \(months[month - 1]) \(year) 12:00:00 GMT"
            let text = String(decoding: HTTPDate(secondsSince1970: seconds).bytes, as: UTF8.self)
            if text != expected { Issue.record("\(text) is not \(expected)") }
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            let length = month == 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
            (day, weekday, seconds) = (day + 1, (weekday + 1) % 7, seconds + 86_400)
            if day > length { (day, month) = (1, month + 1) }
            if month > 12 { (month, year) = (1, year + 1) }
        }
    }
}
