import HTTP
import Testing

@Suite struct `JSON writer` {
    private func text(_ body: (inout JSONWriter) -> Void) -> String {
        var writer = JSONWriter()
        body(&writer)
        return String(decoding: writer.finish(), as: UTF8.self)
    }

    @Test func `puts commas and colons by itself`() {
        let json = text { writer in
            writer.beginObject()
            writer.member("a", 1)
            writer.key("b")
            writer.beginArray()
            writer.beginArray()
            writer.endArray()
            writer.int(-2)
            writer.beginObject()
            writer.endObject()
            writer.null()
            writer.bool(true)
            writer.endArray()
            writer.member("c", "d")
            writer.key("e")
            writer.raw(Array("[1, 2]".utf8))
            writer.member("f", nil as String?)
            writer.member("g", false)
            writer.endObject()
        }
        #expect(json == #"{"a":1,"b":[[],-2,{},null,true],"c":"d","e":[1, 2],"f":null,"g":false}"#)
    }

    @Test func `starts anew on each line`() {
        #expect(
            text { writer in
                for line in 1...2 {
                    writer.beginObject()
                    writer.member("line", line)
                    writer.endObject()
                    writer.lineFeed()
                }
            } == "{\"line\":1}\n{\"line\":2}\n"
        )
    }

    @Test func `escapes what must not stand in a string`() {
        #expect(
            text { $0.string("a\"b\\c/\n\r\t\u{8}\u{0}\u{1F}\u{7F}é😀\u{2028}") }
                == "\"a\\\"b\\\\c/\\n\\r\\t\\u0008\\u0000\\u001f\u{7F}é😀\u{2028}\""
        )
        #expect(text { $0.string("") } == "\"\"")
        #expect(text { $0.string("\"") } == #""\"""#)
        let long = String(repeating: "x", count: 1000)
        #expect(text { $0.string("\(long)\n\(long)") } == "\"\(long)\\n\(long)\"")
    }

    @Test func `repairs bytes that are not UTF-8`() {
        let cases: [([UInt8], String)] = [
            (Array("é\"".utf8), #""é\"""#), ([0x61, 0xFF, 0x62], "\"a\u{FFFD}b\""), ([0xC3], "\"\u{FFFD}\""),
            ([0xE2, 0x82, 0x22], "\"\u{FFFD}\\\"\""), ([0xED, 0xA0, 0x80], "\"\u{FFFD}\u{FFFD}\u{FFFD}\""),
            ([], "\"\""),
        ]
        for (bytes, json) in cases { #expect(text { $0.string(utf8: bytes.span) } == json, "\(bytes)") }
    }

    @Test func `writes the shortest number that reads back the same`() throws {
        let cases: [(Double, String)] = [
            (0, "0"), (-0.0, "-0"), (1, "1"), (0.1, "0.1"), (-2.5, "-2.5"), (1e16, "1e+16"), (1e-7, "1e-07"),
            (.leastNonzeroMagnitude, "5e-324"), (.greatestFiniteMagnitude, "1.7976931348623157e+308"),
            (.nan, "null"),
            (.infinity, "null"), (-.infinity, "null"), (100, "100"), (1_234_567.875, "1234567.875"),
        ]
        for (value, json) in cases { #expect(text { $0.double(value) } == json) }
        for seed in UInt64(0)..<1000 {
            var random = SeededRandom(seed: seed)
            let value = Double(bitPattern: random.next())
            if value.isFinite { #expect(Double(text { $0.double(value) }) == value, "seed \(seed)") }
        }
    }

    @Test func `writes integers to their limits`() {
        for value in [0, 7, 10, -1, Int.max, Int.min] { #expect(text { $0.int(value) } == "\(value)") }
        #expect(text { $0.int(Int64.min) } == "\(Int64.min)")
    }

    @Test func `appends to what is there`() {
        var writer = JSONWriter(Array("data: ".utf8))
        writer.string("x")
        #expect(writer.bytes == Array("data: \"x\"".utf8))
        writer.removeAll(keepingCapacity: true)
        writer.int(1)
        #expect(writer.bytes == Array("1".utf8))
    }
}

@Suite struct `Problem details` {
    @Test func `have the standard members, the code and more`() {
        let problem = Problem(
            status: 400,
            code: "malformed_json",
            detail: "not \"JSON\"",
            requestID: "r-1",
            members: [("offset", .int(17)), ("hint", .string("x")), ("allowed", .raw(Array("[1]".utf8)))]
        )
        #expect(
            String(decoding: problem.json(), as: UTF8.self)
                == #"{"type":"about:blank","title":"Bad Request","status":400,"detail":"not \"JSON\"","#
                + #""code":"malformed_json","request_id":"r-1","offset":17,"hint":"x","allowed":[1]}"#
        )
    }

    @Test func `are made of the parser's errors`() {
        let problem = Problem(RequestError.targetTooLong(limit: 8192), requestID: "r")
        #expect(problem.status == 414)
        #expect(problem.code == "target_too_long")
        #expect(problem.title == "URI Too Long")
        #expect(Problem(TargetError.malformedEscape(offset: 3), requestID: "r").status == 400)
    }
}

@Suite struct `Request id` {
    private func isValid(_ id: String) -> Bool { RequestID.isValid(Array(id.utf8).span) }

    @Test func `is kept when it is sane`() {
        for id in ["a", "0199b2f0-6c1e-7a33", "A.b_c:d/e+f=@", String(repeating: "x", count: 128)] {
            #expect(isValid(id), "\(id)")
        }
        for id in ["", "a b", "a\"", "ü", "<a>", "a;b", "a,b", "a\u{7F}", String(repeating: "x", count: 129)]
        {
            #expect(!isValid(id), "\(id)")
        }
    }
}
