import Analytics
import Testing
import Workers

@Suite struct `Kind rollup` {
    static func run(_ lines: [String]) throws -> [RollupKey: Rollup] {
        let body = Array(lines.joined(separator: "\n").utf8)
        let bytes = try RollupKind().run(body.span)
        return try RollupCodec.decode(bytes.span)
    }

    static let line = #"{"ts":60000001,"type":"t","source":"s","subject":"u","data":{"a":1,"b":{"c":2.5}}}"#

    @Test func `adds events up by minute, type and source`() throws {
        let rollups = try Self.run([
            Self.line, #"{"ts":119999999,"type":"t","source":"s","subject":"v","data":{"a":3}}"#,
            #"{"ts":120000000,"type":"t","source":"s","subject":null,"data":null}"#,
        ])
        #expect(rollups.count == 2)
        let first = try #require(rollups[RollupKey(minute: 60_000_000, type: "t", source: "s")])
        #expect(first.count == 2)
        #expect(rollups[RollupKey(minute: 120_000_000, type: "t", source: "s")]?.count == 1)
    }

    @Test func `takes members in any order, spaces, blank lines and unknown members`() throws {
        let plain = try Self.run([Self.line])
        let spaced = """
            { "x" : [1, {"y": "}"}], "data" : {"a": 1, "b": {"c": 2.5}}, "subject":"u" , "source":"s",
            """.replacing("\n", with: "") + #" "type" : "t", "n":-1, "ts" : 60000001 } "#
        #expect(try Self.run(["", spaced, "", " "]) == plain)
        #expect(try Self.run([]) == [:])
    }

    @Test func `unescapes what it groups by`() throws {
        let escaped = #"{"ts":60000001,"type":"\u0074","source":"s","subject":"\"u","data":null}"#
        let rollups = try Self.run([escaped])
        #expect(rollups.keys.first == RollupKey(minute: 60_000_000, type: "t", source: "s"))
    }

    @Test func `refuses a malformed body and says where`() throws {
        let refused = [
            "{", "[]", "x", #"{"ts":1}"#, #"{"ts":1,"type":"t","source":null}"#, #"{"ts":"1"}"#,
            #"{"ts":1,"type":"t","source":"s"} x"#, #"{"ts":1,"type":"t","source":"s","data":}"#,
            #"{"ts":1,"type":"t","source":"s","data":{"#, #"{"ts":1,"type":"t","source":"s","data":{"a":"}"#,
            #"{"ts":1,"type":"t","source":"s",}"#, #"{"ts":1.5,"type":"t","source":"s"}"#,
            #"{"ts":1234567890123456789,"type":"t","source":"s"}"#, "{\"ts\":1,\"type\":\"a\u{1}\"}",
        ]
        for text in refused {
            let error = #expect(throws: JobBodyError.self, "\(text)") { try Self.run([Self.line, text]) }
            #expect(error?.line == 2, "\(text)")
        }
    }

    @Test func `refuses or reads every truncation, and never traps`() throws {
        let text = Array(Self.line.utf8)
        for count in 1..<text.count {
            let body = Array(text[..<count])
            #expect(throws: JobBodyError.self, "\(count) bytes") { try RollupKind().run(body.span) }
        }
    }
}

extension String {
    fileprivate func replacing(_ character: Character, with replacement: String) -> String {
        split(separator: character, omittingEmptySubsequences: false).joined(separator: replacement)
    }
}
