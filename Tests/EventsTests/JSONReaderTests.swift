import Events
import Testing

@Suite struct `JSON reader` {
    static func read(_ text: String) throws(JSONReadError) -> [String: JSONValue] {
        try JSONReader.object(Array(text.utf8))
    }

    @Test func `is read into values`() throws {
        let text = #" {"a":1,"b":-2.5e1,"c":[true,false,null,[]],"d":{"e":"x"},"f":9223372036854775808} "#
        let expected: [String: JSONValue] = [
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
        let value: JSONValue = ["s": "a\"b\\c\n\u{1}é", "n": -7, "l": ["x", 1], "o": ["k": .bool(true)]]
        #expect(try JSONReader.object(value.bytes) == value.object)
    }

    @Test func `is refused when it is not an object of JSON`() {
        let refused = [
            "{", "}", "[1]", "1", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":01}", "{\"a\":1.}",
            "{\"a\":+1}",
            "{\"a\":\"\u{1}\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\ud800\\u0041\"}",
            "{\"a\":nul}", "{\"a\":1} x", "{'a':1}", "{\"a\":1e999}", "{\"a\":\"", "nonsense",
        ]
        for text in refused {
            #expect(throws: JSONReadError.self, "\(text)") { try Self.read(text) }
        }
        #expect(throws: JSONReadError.self) {
            try JSONReader.object(Array("{\"a\":\"".utf8) + [0xff, 0x22, 0x7d])
        }
    }

    @Test func `is refused at every truncation`() {
        let text = Array(#"{"a":[1,{"b":"c\n"}],"d":true}"#.utf8)
        for count in 1..<text.count {
            #expect(throws: JSONReadError.self, "\(count) bytes") {
                try JSONReader.object(Array(text[..<count]))
            }
        }
    }

    @Test func `may be nested 32 deep and no deeper`() throws {
        func nested(_ depth: Int) -> String {
            "{\"a\":" + String(repeating: "[", count: depth - 1) + String(repeating: "]", count: depth - 1)
                + "}"
        }
        _ = try Self.read(nested(32))
        #expect(throws: JSONReadError.tooDeep(limit: 32)) { try Self.read(nested(33)) }
    }
}
