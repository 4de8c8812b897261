import Events
import Testing

@Suite struct `Numeric fields` {
    static func fields(_ text: String, _ fields: NumericFields = NumericFields()) -> [String] {
        var found: [String] = []
        fields.forEach(in: Array(text.utf8).span) { pointer, value in
            found.append(String(decoding: [UInt8](copying: pointer), as: UTF8.self) + "=\(value)")
        }
        return found
    }

    @Test func `are the numbers of objects, not of arrays`() {
        let text = #" {"a":1, "b" : {"c":-2.5e3,"d":[1,{"e":2}],"f":"3","g":null}, "h":true,"i":0} "#
        #expect(Self.fields(text) == ["/a=1.0", "/b/c=-2500.0", "/i=0.0"])
        #expect(Self.fields("[1,2]").isEmpty)
        #expect(Self.fields("{}").isEmpty)
        #expect(Self.fields("3.5") == ["=3.5"])
    }

    @Test func `have escaped pointers`() {
        #expect(
            Self.fields(#"{"a/b":1,"c~d":2,"\u0065\"\\":3,"":4,"é":5}"#) == [
                "/a~1b=1.0", "/c~0d=2.0", "/e\"\\=3.0", "/=4.0", "/é=5.0",
            ]
        )
    }

    @Test func `are bounded in depth, number and length of pointer`() {
        let deep = { (depth: Int) in
            String(repeating: "{\"a\":", count: depth) + "1" + String(repeating: "}", count: depth)
        }
        #expect(Self.fields(deep(8)) == ["/a/a/a/a/a/a/a/a=1.0"])
        #expect(Self.fields(deep(9)).isEmpty)
        let many = "{" + (0..<100).map { "\"f\($0)\":\($0)" }.joined(separator: ",") + "}"
        #expect(Self.fields(many).count == 64)
        #expect(Self.fields("{\"\(String(repeating: "x", count: 256))\":1,\"y\":2}") == ["/y=2.0"])
    }

    @Test func `leave out what no double can hold`() {
        #expect(Self.fields(#"{"a":1e309,"b":-1e399,"c":1e-399,"d":1e308}"#) == ["/c=0.0", "/d=1e+308"])
    }

    @Test func `end quietly where a text is not JSON`() {
        let text = Array(#"{"a":1,"b":{"c\u00e9":2,"d":[1]},"e":3}"#.utf8)
        for count in 0..<text.count {
            var last = 0.0
            let part = Array(text[..<count])
            NumericFields().forEach(in: part.span) { _, value in last = value }
            #expect(last <= 3)
        }
    }

    @Test func `are the nearest doubles`() {
        var random = SplitMix(seed: 11)
        var texts = [
            "0", "-0", "0.1", "123456789012345678901234567890", "9007199254740993", "9007199254740992e22",
            "1e23", "1e22",
            "8.5e-23", "2.2250738585072011e-308", "4.9e-324", "1.7976931348623157e308",
            "0.000000000000000000000001",
        ]
        for _ in 0..<20_000 {
            let digits = String(random.next()).prefix(Int.random(in: 1...19, using: &random))
            let fraction = String(random.next() >> 40)
            switch random.next() % 4 {
            case 0: texts.append("\(digits)")
            case 1: texts.append("-\(digits).\(fraction)")
            case 2: texts.append("\(digits)e\(Int.random(in: -330...300, using: &random))")
            default: texts.append("\(digits).\(fraction)E+\(Int.random(in: 0...25, using: &random))")
            }
        }
        for text in texts {
            let bytes = Array(text.utf8)
            let value = JSONNumber.double(bytes.span, in: 0..<bytes.count)
            let expected = Double(text).flatMap { $0.isFinite ? $0 : nil }
            #expect(value?.bitPattern == expected?.bitPattern, "\(text)")
        }
    }
}

@Suite struct `JSON string text` {
    static func escaped(_ bytes: [UInt8]) -> String {
        var output: [UInt8] = []
        JSONString.append(bytes.span, to: &output)
        return String(decoding: output, as: UTF8.self)
    }

    @Test func `has escapes where JSON wants them`() {
        #expect(Self.escaped([]) == "\"\"")
        #expect(
            Self.escaped(Array("a\"b\\c/d\n\r\t\u{1}\u{1F}\u{7F}é😀".utf8)) == #""a\"b\\c/d\n\r\t\u0001\u001f"#
                + "\u{7F}é😀\""
        )
    }

    @Test func `comes back as it was through the decoder`() {
        var random = SplitMix(seed: 4)
        for _ in 0..<2000 {
            let scalars = (0..<Int.random(in: 1...20, using: &random)).compactMap { _ in
                Unicode.Scalar(
                    UInt32.random(in: 1...(Bool.random(using: &random) ? 0x7F : 0x10FFFF), using: &random)
                )
            }
            let text = String(String.UnicodeScalarView(scalars))
            if text.isEmpty { continue }
            let decoded = Decoded("{\"type\":\(Self.escaped(Array(text.utf8)))}")
            #expect(decoded.text(\.type)?.utf8.elementsEqual(text.utf8) == true, "\(text.debugDescription)")
        }
    }
}

@Suite struct `Base64 text` {
    static func decode(_ text: String) -> [UInt8]? { Base64.decode(Array(text.utf8).span) }

    @Test func `follows the examples of RFC 4648`() {
        let cases = [
            "": "", "f": "Zg==", "fo": "Zm8=", "foo": "Zm9v", "foob": "Zm9vYg==", "fooba": "Zm9vYmE=",
        ]
        for (plain, encoded) in cases {
            var output: [UInt8] = []
            Base64.append(Array(plain.utf8).span, to: &output)
            #expect(output == Array(encoded.utf8))
            #expect(Self.decode(encoded) == Array(plain.utf8))
        }
        #expect(Self.decode("+/+/") == [0xFB, 0xFF, 0xBF])
    }

    @Test(arguments: [
        "Z", "Zg", "Zg=", "Zm9vY", "@@@@", "Zg==Zg==", "Z===", "====", "Zm9=v", "Zm 9v", "-_-_", "Zm9v\n",
    ])
    func `is refused when broken`(text: String) {
        #expect(Self.decode(text) == nil)
    }
}
