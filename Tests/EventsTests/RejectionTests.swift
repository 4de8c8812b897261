import Events
import TestSupport
import Testing

@Suite struct `A rejection` {
    static func long(_ count: Int) -> String { String(repeating: "x", count: count) }

    @Test func `has the code and pointer of what is wrong`() {
        let time = "2026-01-02T03:04:05Z"
        let cases: [(String, RejectCode, String)] = [
            ("", .malformedJSON, ""), ("{\"type\":\"t\"", .malformedJSON, ""), ("{} {}", .malformedJSON, ""),
            ("\u{FEFF}{\"type\":\"t\"}", .malformedJSON, ""), ("[]", .notAnObject, ""),
            ("3", .notAnObject, ""),
            (#""\ud800""#, .notAnObject, ""), ("{}", .missingType, "/type"),
            (#"{"type":null}"#, .missingType, "/type"), (#"{"type":1}"#, .invalidType, "/type"),
            (#"{"type":""}"#, .invalidType, "/type"),
            (#"{"type":"\#(Self.long(256))"}"#, .invalidType, "/type"),
            (#"{"type":"t","id":""}"#, .invalidID, "/id"), (#"{"type":"t","id":7}"#, .invalidID, "/id"),
            (#"{"type":"t","id":"\#(Self.long(129))"}"#, .invalidID, "/id"),
            (#"{"type":"t","source":""}"#, .invalidSource, "/source"),
            (#"{"type":"t","source":"\#(Self.long(1025))"}"#, .invalidSource, "/source"),
            (#"{"type":"t","subject":{}}"#, .invalidSubject, "/subject"),
            (#"{"type":"t","subject":"\#(Self.long(1025))"}"#, .invalidSubject, "/subject"),
            (#"{"type":"t","time":1767323045}"#, .invalidTime, "/time"),
            (#"{"type":"t","time":"2026-01-02"}"#, .invalidTime, "/time"),
            (#"{"type":"t","time":"2026-01-02T04:04:05.000001Z"}"#, .timeInFuture, "/time"),
            (#"{"type":"t","specversion":"0.3"}"#, .invalidSpecversion, "/specversion"),
            (#"{"type":"t","specversion":1.0}"#, .invalidSpecversion, "/specversion"),
            (#"{"type":"t","datacontenttype":1}"#, .invalidAttribute, "/datacontenttype"),
            (#"{"type":"t","dataschema":[]}"#, .invalidAttribute, "/dataschema"),
            (#"{"type":"t","a/b~":{}}"#, .invalidAttribute, "/a~1b~0"),
            (#"{"type":"t","data":1,"data_base64":""}"#, .invalidData, "/data_base64"),
            (#"{"type":"t","data_base64":"@@@"}"#, .invalidData, "/data_base64"),
            (#"{"type":"t","data_base64":{}}"#, .invalidData, "/data_base64"),
            (#"{"type":"t","type":"t"}"#, .duplicateKey, "/type"),
            (#"{"type":"t","t\u0079pe":null}"#, .duplicateKey, "/type"),
            (#"{"type":"t","data":1,"data":1}"#, .duplicateKey, "/data"),
            (#"{"type":"t","ext":1,"b":2,"\u0065xt":1}"#, .duplicateKey, "/ext"),
            (#"{"type":"t","data":"\ud800"}"#, .invalidUnicode, "/data"),
            (#"{"type":"t","data":"\u0000"}"#, .unstorableText, "/data"),
            (#"{"type":"t","x\u0000":1}"#, .unstorableText, ""),
            (#"{"type":"t","data":{"a":[1e500]}}"#, .numberOutOfRange, "/data"),
            (#"{"type":"t","ext":1e500}"#, .numberOutOfRange, "/ext"),
            (#"{"type":"t","data":1e500,"time":"\#(time)"]"#, .malformedJSON, ""),
        ]
        for (text, code, pointer) in cases {
            let decoded = Decoded(text)
            #expect(decoded.code == code, "\(text.prefix(80))")
            #expect(decoded.rejection?.pointer == pointer, "\(text.prefix(80))")
            #expect(decoded.rejection?.raw == Array(text.utf8))
            #expect(decoded.rejection?.index == 7)
            #expect(decoded.record == nil && decoded.arena.bytes.isEmpty)
        }
    }

    @Test func `begins right behind each limit`() {
        for text in [
            #"{"type":"\#(Self.long(255))"}"#, #"{"type":"t","id":"\#(Self.long(128))"}"#,
            #"{"type":"t","source":"\#(Self.long(1024))","subject":"\#(Self.long(1024))"}"#,
            #"{"type":"t","time":"2026-01-02T04:04:05Z"}"#, #"{"type":"t","time":"0001-01-01T00:00:00Z"}"#,
            #"{"type":"t","data":"# + String(repeating: "[", count: 63) + String(repeating: "]", count: 63)
                + "}",
        ] { #expect(Decoded(text).rejection == nil, "\(text.prefix(60))") }
        let deep =
            #"{"type":"t","data":"# + String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
            + "}"
        #expect(Decoded(deep).code == .tooDeep)
    }

    @Test func `comes for a time older than the retention`() {
        var limits = EventLimits()
        limits.retentionMicroseconds = 1_000_000
        #expect(Decoded(#"{"type":"t","time":"2026-01-02T03:04:04Z"}"#, limits: limits).rejection == nil)
        #expect(
            Decoded(#"{"type":"t","time":"2026-01-02T03:04:03.999999Z"}"#, limits: limits).code == .timeTooOld
        )
    }

    @Test func `comes for a UUIDv7 that is as far from now as no time may be, unless there is a time`() {
        // Received at 2026-01-02T03:04:05Z; a UUIDv7 has milliseconds.
        func id(_ milliseconds: Int64) -> String {
            var ids = UUIDv7Generator(seed: 1)
            return String(decoding: formatUUID(ids.next(microseconds: milliseconds * 1_000)), as: UTF8.self)
        }
        let latest = 1_767_323_045_000 + 3_600_000 as Int64
        #expect(Decoded(#"{"type":"t","id":"\#(id(latest))"}"#).record?.idTime == latest * 1_000)
        let future = Decoded(#"{"type":"t","id":"\#(id(latest + 1))"}"#)
        #expect(future.code == .timeInFuture && future.rejection?.pointer == "/id")
        // So far ahead that no try within weeks would date it: a name like any other.
        let horizon = latest + 30 * 86_400_000
        #expect(Decoded(#"{"type":"t","id":"\#(id(horizon))"}"#).code == .timeInFuture)
        let name = Decoded(#"{"type":"t","id":"\#(id(horizon + 1))"}"#)
        #expect(name.rejection == nil && name.record?.idTime == nil)
        let dated = #"{"type":"t","id":"\#(id(latest + 1))","time":"2026-01-02T03:04:05Z"}"#
        #expect(Decoded(dated).rejection == nil)

        var limits = EventLimits()
        limits.retentionMicroseconds = 1_000_000
        let old = Decoded(#"{"type":"t","id":"\#(id(1_767_323_043_000))"}"#, limits: limits)
        #expect(old.code == .timeTooOld && old.rejection?.pointer == "/id")
    }

    @Test func `comes for an event over the limit, spaces around it not counted`() {
        let fill = 262_144 - #"{"type":"t","data":""}"#.utf8.count
        let full = #"{"type":"t","data":"\#(Self.long(fill))"}"#
        #expect(Decoded("  \(full) \r").record?.rawBytes == 262_144)
        let over = Decoded(#"{"id":"big","type":"t","data":"\#(Self.long(fill))"}"#)
        #expect(over.code == .eventTooLarge)
        #expect(over.rejection?.id == "big")
        #expect(
            Decoded(#"{"id":"big","type":"t","data":"\#(Self.long(300_000))"#).rejection?.raw.count == 262_144
                + 4096
        )
    }

    @Test func `says of a line that is no UTF-8 just that`() {
        let head = Array(#"{"type":"t","data":"a"#.utf8)
        #expect(Decoded(head + [0xFF] + Array("\"}".utf8)).code == .invalidUnicode)
        #expect(Decoded(head + [0xFF] + Array("\"".utf8)).code == .invalidUnicode)
        #expect(Decoded([0xFF, 0xFE, 0x7B]).code == .invalidUnicode)
        #expect(Decoded([0x22, 0xFF, 0x22]).code == .invalidUnicode)
    }

    @Test func `names the id when one could be read`() {
        #expect(Decoded(#"{"id":"evt-\u0031","type":1}"#).rejection?.id == "evt-1")
        #expect(Decoded(#"{"id":"evt-1","type":"t""#).rejection?.id == "evt-1")
        #expect(Decoded(#"{"type":1,"id":""}"#).rejection?.id == nil)
        #expect(Decoded(#"{"type":1,"id":"a\u0000"}"#).rejection?.id == nil)
        #expect(Decoded(#"{"type":1,"id":5}"#).rejection?.id == nil)
        #expect(Decoded(#"{"type":"t","id":"abc"#).rejection?.id == nil)
    }

    @Test func `uses up no id`() {
        var context = Decoded.context()
        var arena = EventArena()
        let decoder = EventDecoder()
        decoder.decode(
            Array(#"{"type":"t","data_base64":"@"}"#.utf8).span,
            index: 0,
            context: &context,
            into: &arena
        )
        decoder.decode(Array(#"{"type":"t"}"#.utf8).span, index: 1, context: &context, into: &arena)
        var ids = UUIDv7Generator(seed: 1)
        #expect(arena.records.first?.uuid == ids.next(microseconds: Decoded.receivedAt))
    }

    @Test func `survives forty thousand different names`() {
        let members = (0..<30_000).map { ",\"\($0)\":1" }.joined()
        #expect(Decoded("{\"type\":\"t\"\(members)}").rejection?.code == .eventTooLarge)
        let fewer = (0..<25_000).map { ",\"\($0)\":1" }.joined()
        #expect(Decoded("{\"type\":\"t\"\(fewer)}").record != nil)
        #expect(Decoded("{\"type\":\"t\"\(fewer),\"77\":2}").rejection?.pointer == "/77")
    }
}

@Suite struct `Strict CloudEvents` {
    static func text(_ more: String) -> String {
        #"{"specversion":"1.0","type":"t","source":"/s","id":"1""# + (more.isEmpty ? "" : "," + more) + "}"
    }

    @Test func `want the four required attributes`() {
        #expect(Decoded(Self.text(""), isStrict: true).rejection == nil)
        let cases: [(String, RejectCode)] = [
            (#"{"specversion":"1.0","source":"/s","id":"1"}"#, .missingType),
            (#"{"specversion":"1.0","type":"t","id":"1"}"#, .missingSource),
            (#"{"specversion":"1.0","type":"t","source":"/s","id":null}"#, .missingID),
            (#"{"type":"t","source":"/s","id":"1"}"#, .missingSpecversion),
            (#"{"specversion":"1.1","type":"t","source":"/s","id":"1"}"#, .invalidSpecversion),
        ]
        for (text, code) in cases { #expect(Decoded(text, isStrict: true).code == code, "\(text)") }
    }

    @Test func `refuse what the specification forbids and lenient mode takes`() {
        let cases: [(String, RejectCode, String)] = [
            (#""Upper":"v""#, .invalidAttribute, "/Upper"), (#""a_b":"v""#, .invalidAttribute, "/a_b"),
            (#""":"v""#, .invalidAttribute, "/"), (#""é":"v""#, .invalidAttribute, "/é"),
            (#""n":1.5"#, .invalidAttribute, "/n"), (#""n":2147483648"#, .invalidAttribute, "/n"),
            (#""s":"a\nb""#, .invalidAttribute, "/s"), (#""s":"\u0085""#, .invalidAttribute, "/s"),
            (#""s":"\uffff""#, .invalidAttribute, "/s"), (#""s":"\ufdd0""#, .invalidAttribute, "/s"),
            (#""s":"\ud83f\udffe""#, .invalidAttribute, "/s"),
            (#""subject":"\u007f""#, .invalidSubject, "/subject"),
            (#""dataschema":"relative""#, .invalidAttribute, "/dataschema"),
            (#""dataschema":"""#, .invalidAttribute, "/dataschema"),
            (#""datacontenttype":"json""#, .invalidAttribute, "/datacontenttype"),
        ]
        for (more, code, pointer) in cases {
            let decoded = Decoded(Self.text(more), isStrict: true)
            #expect(decoded.code == code, "\(more)")
            #expect(decoded.rejection?.pointer == pointer, "\(more)")
            #expect(Decoded(Self.text(more)).rejection == nil, "\(more)")
        }
        let source = #"{"specversion":"1.0","type":"t","source":"has space","id":"1"}"#
        #expect(Decoded(source, isStrict: true).code == .invalidSource)
        #expect(Decoded(source).rejection == nil)
    }

    @Test func `take what the specification allows`() {
        for more in [
            #""ext":"v","n":-2147483648,"b":false,"gone":null,"Gone":null"#, #""subject":"é 😀 \"q\"""#,
            #""dataschema":"https://example.com/s#1","datacontenttype":"application/json; charset=utf-8""#,
            #""datacontenttype":"application/vnd.a+json","time":"2026-01-02t03:04:05z","data":[1]"#,
        ] { #expect(Decoded(Self.text(more), isStrict: true).rejection == nil, "\(more)") }
    }

    // Skipped without ../shared/corpora beside the package.
    @Test(.enabled(if: Corpora.areThere)) func `are judged as the corpus of structured events says`() throws {
        for line in try Corpora.lines("cloudevents/cloudevents-http.jsonl") {
            let kind = try #require(line["kind"] as? String)
            guard kind == "ce-structured" || kind == "ce-batch", let name = line["name"] as? String,
                let expected = line["expect"] as? String, expected != "either"
            else { continue }
            let body = try Corpora.body(of: line)
            var context = Decoded.context(isStrict: true)
            let shape = kind == "ce-batch" ? JSONBody.Shape.array : .object
            let decoded = try? JSONBody.decode(body, as: shape, with: EventDecoder(), context: &context)
            let arena = decoded ?? EventArena()
            let isAccepted = decoded != nil && arena.rejections.isEmpty
            #expect(isAccepted == (expected == "accept"), "\(name): \(arena.rejections.map(\.code))")
            guard expected == "accept", let events = line["events"] as? [[String: Any]] else { continue }
            #expect(events.count == arena.records.count, "\(name)")
            for (event, record) in zip(events, arena.records) {
                let attributes = try #require(event["attributes"] as? [String: Any])
                #expect(arena.text(record.type) == attributes["type"] as? String, "\(name)")
                #expect(arena.text(record.id) == attributes["id"] as? String, "\(name)")
                #expect(arena.text(record.source) == attributes["source"] as? String, "\(name)")
                #expect(arena.text(record.subject) == attributes["subject"] as? String, "\(name)")
            }
        }
    }
}
