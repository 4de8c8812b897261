import Events
import Foundation
import TestSupport
import Testing

@Suite struct `Event decoder` {
    @Test func `finds every attribute`() throws {
        let text =
            #" {"id":"i-1","type":"t","source":"/s","subject":"u","time":"2026-01-02T03:04:05.5Z","#
            + #""data": { "k" : [1] } }"# + "\t"
        let decoded = Decoded(text)
        let record = try #require(decoded.record)
        #expect(decoded.arena.rejections.isEmpty)
        #expect(record.index == 7)
        #expect(decoded.text(\.id) == "i-1")
        #expect(decoded.text(\.type) == "t")
        #expect(decoded.text(\.source) == "/s")
        #expect(decoded.text(\.subject) == "u")
        #expect(decoded.text(\.data) == #"{ "k" : [1] }"#)
        #expect(decoded.text(\.attributes) == nil)
        #expect(decoded.text(\.dataBytes) == nil)
        #expect(record.time == 1_767_323_045_500_000)
        #expect(record.idTime == nil)
        #expect(!record.idIsGenerated)
        #expect(record.uuid == 0)
        #expect(record.rawBytes == text.utf8.count - 2)
    }

    @Test func `makes up what is absent or null`() throws {
        for text in [
            #"{"type":"t"}"#,
            #"{"id":null,"type":"t","source":null,"subject":null,"time":null,"data":null,"x":null}"#,
        ] {
            let decoded = Decoded(text)
            let record = try #require(decoded.record)
            #expect(record.idIsGenerated)
            #expect(decoded.text(\.id) == String(decoding: formatUUID(record.uuid), as: UTF8.self))
            #expect(UUIDv7Generator.microseconds(of: record.uuid) == Decoded.receivedAt / 1000 * 1000)
            #expect(record.idTime == nil)
            #expect(decoded.text(\.source) == "/default")
            #expect(record.subject.isAbsent && record.data.isAbsent && record.attributes.isAbsent)
            #expect(record.time == nil)
        }
    }

    @Test func `unescapes strings and names`() {
        let text =
            #"{"t\u0079pe":"a\"\\\/\b\f\n\r\té\u00e9\ud83d\ude00","id":"\u0069","#
            + #""source":"\u002Fs","tim\u0065":"2026-01-02T03:04:05\u002B00:00","#
            + #""\u0064ata":"\u0041"}"#
        let decoded = Decoded(text)
        #expect(decoded.text(\.type) == "a\"\\/\u{8}\u{C}\n\r\téé😀")
        #expect(decoded.text(\.id) == "i")
        #expect(decoded.text(\.source) == "/s")
        #expect(decoded.record?.time == 1_767_323_045_000_000)
        #expect(decoded.text(\.data) == #""\u0041""#)
    }

    @Test func `gathers the other attributes as they were sent`() {
        let text =
            #"{"ext" : "\u0041", "type":"t","specversion":"1.0","n":1.50e1,"b":true,"#
            + #""null":null,"datacontenttype":"text/plain","dataschema":"x:y"}"#
        let expected =
            #"{"specversion":"1.0","datacontenttype":"text/plain","dataschema":"x:y","#
            + #""ext" : "\u0041","n":1.50e1,"b":true}"#
        #expect(Decoded(text).text(\.attributes) == expected)
    }

    @Test func `decodes Base64 data and keeps its type`() {
        let decoded = Decoded(
            #"{"type":"t","data_base64":"AAH\/\/g==","#
                + #""datacontenttype":"application/octet-stream","data":null}"#
        )
        #expect(decoded.record.map { Array(decoded.arena.bytes[$0.dataBytes.range]) } == [0, 1, 255, 254])
        #expect(decoded.text(\.attributes) == #"{"datacontenttype":"application/octet-stream"}"#)
        #expect(Decoded(#"{"type":"t","data_base64":""}"#).record?.dataBytes.count == 0)
    }

    @Test func `reads the time inside a UUIDv7`() {
        #expect(
            Decoded(#"{"type":"t","id":"017F22E2-79B0-7CC3-98C4-DC0C0C07398F"}"#).record?.idTime
                == 1_645_557_742_000_000
        )
        #expect(Decoded(#"{"type":"t","id":"017F22E2-79B0-4CC3-98C4-DC0C0C07398F"}"#).record?.idTime == nil)
    }

    @Test func `keeps offsets right when the arena already holds events`() {
        var context = Decoded.context()
        var arena = EventArena()
        for number in 0..<50 {
            let text = Array(
                "{\"type\":\"t\\u0030\(number)\",\"x\":\(number),\"id\":\"\(number)\",\"data\":[\(number)]}"
                    .utf8
            )
            EventDecoder().decode(text.span, index: Int32(number), context: &context, into: &arena)
            EventDecoder().decode(Array("{}".utf8).span, index: 0, context: &context, into: &arena)
        }
        for (number, record) in arena.records.enumerated() {
            #expect(arena.text(record.type) == "t0\(number)")
            #expect(arena.text(record.id) == "\(number)")
            #expect(arena.text(record.data) == "[\(number)]")
            #expect(arena.text(record.attributes) == "{\"x\":\(number)}")
        }
        #expect(arena.records.count == 50 && arena.rejections.count == 50)
    }

    @Test func `refuses every truncation`() {
        let text = Array(
            #"{"type":"t","source":"é\n","data":{"a":[1.5e2,true]},"time":"2026-01-02T03:04:05Z"}"#.utf8
        )
        for count in 0..<text.count {
            let decoded = Decoded(Array(text[..<count]))
            #expect(decoded.record == nil)
            #expect([.malformedJSON, .invalidUnicode].contains(decoded.code))
            #expect(decoded.rejection?.raw.count == count)
            #expect(decoded.arena.bytes.isEmpty)
        }
    }

    // Skipped without ../shared/corpora beside the package.
    @Test(.enabled(if: Corpora.areThere)) func `judges the JSON test suite as data`() throws {
        var counts = [0, 0]
        for (name, bytes) in try Corpora.files("json/JSONTestSuite") {
            let event = Array("{\"type\":\"t\",\"data\":".utf8) + bytes + [UInt8(ascii: "}")]
            let decoded = Decoded(event)
            if name.hasPrefix("y_") {
                counts[0] += 1
                let hasNull =
                    String(decoding: bytes, as: UTF8.self).contains(#"\u0000"#)
                    && !name.contains("backslash_and")
                #expect(hasNull ? decoded.code == .unstorableText : decoded.record != nil, "\(name)")
                if let record = decoded.record, !record.data.isAbsent {
                    let data = Array(decoded.arena.bytes[record.data.range])
                    #expect(
                        String(decoding: bytes, as: UTF8.self).contains(
                            String(decoding: data, as: UTF8.self)
                        ),
                        "\(name)"
                    )
                }
            } else if name.hasPrefix("n_") {
                counts[1] += 1
                #expect(decoded.record == nil, "\(name)")
            }
        }
        #expect(counts == [95, 188])
    }

    @Test func `agrees with Foundation on mutated events`() {
        let text =
            #"{"type":"t","data":{"n":-1.5e3,"s":"aé\u00e9\ud83d\ude00\n","#
            + #""l":[true,false,null,{}]},"ext":"v"}"#
        let alphabet = Array(#"{}[]",:\u019eE+-.tn "#.utf8)
        for seed in 0..<200 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            var bytes = Array(text.utf8)
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] =
                    alphabet.randomElement(using: &random) ?? 0
            }
            let object = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
            guard let record = Decoded(bytes).record else {
                // Refused for its grammar only if Foundation, too, cannot read it.
                #expect(
                    Decoded(bytes).code != .malformedJSON || object == nil || !ReferenceJSON.accepts(bytes),
                    "seed \(seed)"
                )
                continue
            }
            #expect(object?["type"] as? String == Decoded(bytes).text(\.type), "seed \(seed)")
            #expect(record.rawBytes == bytes.count)
        }
    }
}
