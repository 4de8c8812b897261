import Events
import Foundation
import TestSupport
import Testing

@Suite struct `JSON scanner` {
    static func verdict(_ text: String) -> JSONVerdict { JSONScanner().verdict(on: Array(text.utf8).span) }

    static func fault(_ text: String) -> JSONFault.Reason? {
        guard case .refused(let fault) = verdict(text) else { return nil }
        return fault.reason
    }

    static let texts = [
        #"{"type":"a","data":{"k":[1,-2.5e+3,true,false,null,"x\u00e9\ud83d\ude00\n"],"#
            + #""é":"日本語テキスト"}}"#,
        "[ { \"a\" : [ ] , \"b\" : { } } ,\r\n\t[[]] , 0 , -0.0 , 1E5, \"\\\"\\\\\\/\\b\\f\\n\\r\\t\" ]",
        #"{"a long name without escapes":"a long value without escapes either","b":[[[[{"c":{}}]]]]}"#,
    ]

    @Test func `accepts whole texts and refuses every truncation at its end`() {
        for text in Self.texts.map({ Array($0.utf8) }) {
            #expect(JSONScanner().verdict(on: text.span) == .valid)
            for count in 0..<text.count {
                let part = Array(text[..<count])
                let verdict = JSONScanner().verdict(on: part.span)
                #expect(verdict == .malformed(offset: count), "cut at \(count)")
            }
        }
    }

    @Test func `names the byte where a text cannot go on`() {
        let cases: [(String, Int)] = [
            ("", 0), ("  ", 2), ("\u{FEFF}{}", 0), ("{} x", 3), ("[1,]", 3), ("{\"a\":1,}", 7), ("{a:1}", 1),
            ("01", 1),
            ("-", 1), ("-x", 1), ("1.", 2), ("1.e5", 2), ("1e", 2), ("1e+", 3), (".5", 0), ("+1", 0),
            ("trux", 3),
            ("nul", 3), ("falsy", 4), ("\"a\u{1}b\"", 2), ("\"\\x\"", 2), (#""\u12G4""#, 5), ("[1 2]", 3),
            ("[1}", 2),
            ("{\"a\" 1}", 5), ("{\"a\":}", 5), ("]", 0), ("'a'", 0), ("{\"a\":1]", 6), ("\"a\nb\"", 2),
            ("[,1]", 1),
            ("\"abcdefghijk\u{0}lmnopq\"", 12),
        ]
        for (text, offset) in cases { #expect(Self.verdict(text) == .malformed(offset: offset), "\(text)") }
    }

    @Test func `counts nesting from one and puts syntax first`() {
        let deepest = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        #expect(Self.verdict(deepest) == .valid)
        #expect(Self.verdict("[" + deepest + "]") == .refused(JSONFault(.tooDeep, 64)))
        #expect(Self.verdict("[" + deepest + "]x") == .malformed(offset: 130))
        for depth in [63, 64, 65, 127, 128, 129, 1000] {
            let text = (0..<depth).map { $0 % 3 == 0 ? "{\"a\":" : "[" }.joined()
            let end = (0..<depth).reversed().map { $0 % 3 == 0 ? "}" : "]" }.joined()
            #expect(
                Self.verdict(text + "1" + end) == (depth <= 64 ? .valid : .refused(JSONFault(.tooDeep, 152)))
            )
            #expect(
                Self.verdict(text + "1" + end.dropLast() + ")") == .malformed(offset: text.utf8.count + depth)
            )
        }
    }

    @Test func `measures numbers as they would be written out`() {
        let nines = String(repeating: "9", count: 400)
        let valid = [
            nines, "-" + nines, "1e399", "0.1e400", "0.001e402", "1e-399", "0e500", "0.0e400", "1.5e398",
            "5e-324",
            "2.2250738585072014e-308", "1.7976931348623157e308", "0." + String(repeating: "1", count: 399),
        ]
        for text in valid { #expect(Self.verdict(text) == .valid, "\(text)") }
        let refused = [
            nines + "0", "1e400", "1e500", "-1e500", "1e-400", "0.1e401", "1e99999999999999999999999",
            "0e99999999999999999999", "1e-99999999999999999999", "0." + String(repeating: "1", count: 400),
            "[1,\(nines).5]",
        ]
        for text in refused { #expect(Self.fault(text) == .numberOutOfRange, "\(text)") }
    }

    @Test func `tells surrogates without their other half`() {
        for text in [#""\ud83d\ude00""#, #""\uD83D\uDE00\uD83D\uDE00""#, #""\ud7ff\ue000""#, #""\\ud83d""#] {
            #expect(Self.verdict(text) == .valid, "\(text)")
        }
        let lone = [
            #""\ud83d""#, #""\ude00""#, #""\ud83dx""#, #""\ud83d\n""#, #""\ud83d\ud83d\ude00""#,
            #""\ude00\ud83d""#,
            #"{"\ud800":1}"#,
        ]
        for text in lone { #expect(Self.fault(text) == .loneSurrogate, "\(text)") }
        #expect(Self.verdict(#""\ud83d\u12""#) == .malformed(offset: 11))
    }

    @Test func `tells U+0000 apart`() {
        #expect(Self.fault(#"["\u0000"]"#) == .nullCharacter)
        #expect(Self.fault(#"{"a\u0000":1}"#) == .nullCharacter)
        #expect(Self.verdict(#""\\u0000""#) == .valid)
    }

    @Test func `reports the first fault of several`() {
        #expect(Self.verdict(#"["\ud800","\u0000",1e999]"#) == .refused(JSONFault(.loneSurrogate, 2)))
        #expect(Self.verdict(#"[1e999,"\u0000"]"#) == .refused(JSONFault(.numberOutOfRange, 1)))
    }

    // Skipped without ../shared/corpora beside the package.
    @Test(.enabled(if: Corpora.areThere)) func `judges UTF-8 as the corpus does, at every alignment`() throws
    {
        for line in try Corpora.lines("text/utf8.jsonl") {
            let hex = Array(try #require(line["bytes_hex"] as? String).utf8)
            let bytes = try stride(from: 0, to: hex.count, by: 2).map { index in
                try #require(UInt8(String(decoding: hex[index..<index + 2], as: UTF8.self), radix: 16))
            }
            let isValid = line["expect"] as? String == "valid"
            #expect((UTF8Check.firstInvalid(in: bytes.span) == nil) == isValid, "\(line)")
            // A control character is not a matter of UTF-8 within JSON.
            if bytes.contains(where: { $0 < 0x20 || $0 == 0x22 || $0 == 0x5C }) { continue }
            for padding in 0..<16 {
                let pad = [UInt8](repeating: 0x61, count: padding)
                let text = [0x22] + pad + bytes + pad + [0x22]
                let verdict = JSONScanner().verdict(on: text.span)
                #expect((verdict == .valid) == isValid, "\(line) \(padding)")
            }
        }
    }

    @Test func `agrees with the standard library about the UTF-8 of random bytes`() {
        for seed in 0..<200 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            for _ in 0..<200 {
                let heads: [UInt8] = [
                    0x61, 0x80, 0xBF, 0xC1, 0xC2, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF3, 0xF4, 0xF5,
                ]
                let bytes = (0..<Int.random(in: 1...12, using: &random)).map { _ in
                    heads.randomElement(using: &random).map { Bool.random(using: &random) ? $0 : $0 ^ 0x30 }
                        ?? 0
                }
                let isValid = String(validating: bytes, as: UTF8.self) != nil
                #expect((UTF8Check.firstInvalid(in: bytes.span) == nil) == isValid, "seed \(seed): \(bytes)")
            }
        }
    }

    @Test func `agrees with a slow reader on mutated texts`() {
        let alphabet = Array(#"{}[]",:\u0019eE+-.tfn /"#.utf8) + [0x00, 0x1F, 0x7F, 0x80, 0xC3, 0xA9, 0x0A]
        for seed in 0..<300 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            var text = Array(Self.texts[Int(seed) % Self.texts.count].utf8)
            for _ in 0..<60 {
                let place = Int.random(in: 0..<text.count, using: &random)
                let byte = alphabet.randomElement(using: &random) ?? 0
                switch Int.random(in: 0..<4, using: &random) {
                case 0: text[place] = byte
                case 1: text.insert(byte, at: place)
                case 2 where text.count > 20: text.remove(at: place)
                default: text = Array(Self.texts[Int(seed) % Self.texts.count].utf8)
                }
                let isMalformed =
                    if case .malformed = JSONScanner().verdict(on: text.span) { true } else { false }
                let isAccepted = ReferenceJSON.accepts(text)
                #expect(isMalformed != isAccepted, "seed \(seed): \(String(decoding: text, as: UTF8.self))")
            }
        }
    }

    @Test func `agrees with Foundation on generated texts`() throws {
        for seed in 0..<300 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            let value: [Any] = [Self.randomValue(depth: 4, &random)]
            let options: JSONSerialization.WritingOptions = seed % 2 == 0 ? [.prettyPrinted] : []
            let text = [UInt8](try JSONSerialization.data(withJSONObject: value, options: options))
            #expect(JSONScanner().verdict(on: text.span) == .valid, "seed \(seed)")
        }
    }

    private static func randomValue(depth: Int, _ random: inout SplitMix) -> Any {
        switch Int.random(in: 0..<(depth > 0 ? 7 : 5), using: &random) {
        case 0: return Int.random(in: .min ... .max, using: &random)
        case 1: return Double.random(in: -1e9...1e9, using: &random)
        case 2: return Bool.random(using: &random)
        case 3: return NSNull()
        case 4:
            return ["", "plain", "tab\t quote\" back\\", "日本", "😀 and more than eight", "\u{7F}/"][
                Int(random.next() % 6)
            ]
        case 5: return (0..<Int(random.next() % 4)).map { _ in randomValue(depth: depth - 1, &random) }
        default:
            var object: [String: Any] = [:]
            for index in 0..<Int(random.next() % 4) {
                object["k\(index)\"é"] = randomValue(depth: depth - 1, &random)
            }
            return object
        }
    }
}

extension JSONFault {
    init(_ reason: Reason, _ offset: Int) { self.init(reason: reason, offset: offset) }
}
