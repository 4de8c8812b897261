import Events
import Testing

@Suite struct `JSON body` {
    static func decode(
        _ text: String,
        as shape: JSONBody.Shape = .any
    ) -> (count: Int?, error: JSONBodyError?, arena: EventArena) {
        var context = Decoded.context()
        do throws(JSONBodyError) {
            let body = Array(text.utf8)
            let arena = try JSONBody.decode(body, as: shape, with: EventDecoder(), context: &context)
            return (arena.records.count + arena.rejections.count, nil, arena)
        } catch {
            return (nil, error, EventArena())
        }
    }

    @Test func `is one event or an array of them`() {
        #expect(Self.decode(#" {"type":"a"} "#).arena.records.count == 1)
        let result = Self.decode("[ {\"type\":\"a\"} ,\n3, {\"type\":\"b\",\"id\":\"x\"}, {}, [{}] ]\r\n")
        #expect(result.count == 5)
        #expect(result.arena.records.map(\.index) == [0, 2])
        #expect(result.arena.rejections.map(\.index) == [1, 3, 4])
        #expect(result.arena.rejections.map(\.code) == [.notAnObject, .missingType, .notAnObject])
        #expect(
            result.arena.rejections.map { String(decoding: $0.raw, as: UTF8.self) } == ["3", "{}", "[{}]"]
        )
        #expect(result.arena.records.map { result.arena.text($0.type) } == ["a", "b"])
        #expect(Self.decode(" [ ] ").count == 0)
    }

    @Test func `says at which byte it stops being JSON`() {
        let cases: [(String, JSONBodyError)] = [
            ("", .empty), (" \n", .empty), ("1", .scalar), ("\"a\"", .scalar), ("null", .scalar),
            ("nulx", .malformed(offset: 3)), ("\u{FEFF}[]", .malformed(offset: 0)),
            ("[{\"type\":\"a\"},", .malformed(offset: 14)), ("[{\"type\":\"a\"},]", .malformed(offset: 14)),
            ("{\"type\":\"a\"}{", .malformed(offset: 12)), ("[{\"type\":\"a\"}]]", .malformed(offset: 14)),
            ("[{\"type\":\"a\"} {", .malformed(offset: 14)), ("[3,{\"type\":tru}]", .malformed(offset: 14)),
        ]
        for (text, error) in cases {
            #expect(Self.decode(text).error == error, "\(text)")
        }
    }

    @Test func `is malformed at its end wherever it is cut`() {
        let text = #"[{"type":"a","data":{"k":[1,"é\n",true]}},{"type":1},"x"]"#
        let bytes = Array(text.utf8)
        for count in 1..<bytes.count {
            let part = String(decoding: bytes[..<count], as: UTF8.self)
            // Not cut within a character: that would be put right here, and it is counted in bytes.
            if part.utf8.count == count { #expect(Self.decode(part).error == .malformed(offset: count)) }
        }
    }

    @Test func `must have the shape that its content type promises`() {
        #expect(Self.decode("{}", as: .array).error == .unexpectedObject)
        #expect(Self.decode("[{}]", as: .object).error == .unexpectedArray)
        #expect(Self.decode("[}", as: .object).error == .malformed(offset: 1))
        #expect(Self.decode("[{}]", as: .array).count == 1)
        #expect(Self.decode("{}", as: .object).count == 1)
    }

    @Test func `refuses an event over the limit alone`() {
        let big = "{\"type\":\"a\",\"data\":\"" + String(repeating: "x", count: 262_144) + "\"}"
        let result = Self.decode("[{\"type\":\"a\"},\(big),{\"type\":\"b\"}]")
        #expect(result.arena.records.map(\.index) == [0, 2])
        #expect(result.arena.rejections.map(\.code) == [.eventTooLarge])
    }

    /// Whatever an event brings, its record reads as when it is decoded alone.
    @Test func `decodes events where they are as it does on their own`() {
        let texts = [
            #"{"type":"a"}"#,
            #"{ "id" : "x\u0041", "type":"\u0061b", "subject" : "s", "data" : {"k":[1,2]} }"#,
            #"{"type":"c","source":"/s","n":1,"specversion":"1.0","datacontenttype":"text/x","z":true}"#,
            #"{"type":7}"#, #"{"type":"d","data_base64":"AAEC","time":"2026-01-02T03:04:05Z"}"#, "[]",
            #"{"id":"0199b2c4-7d1e-7a3b-9c55-1234567890ab","type":"e","data":"\ud83d\ude00"}"#,
        ]
        let body = Self.decode(" [" + texts.joined(separator: " ,\n") + "] ").arena
        var context = Decoded.context()
        var alone = EventArena()
        for (index, text) in texts.enumerated() {
            EventDecoder().decode(
                Array(text.utf8).span,
                index: Int32(index),
                context: &context,
                into: &alone
            )
        }
        #expect(body.rejections == alone.rejections && body.records.count == 5)
        func attributes(_ record: EventRecord, _ arena: EventArena) -> [[UInt8]] {
            [
                record.type, record.source, record.subject, record.id, record.attributes, record.data,
                record.dataBytes,
            ].map { $0.isAbsent ? [0] : Array(arena.bytes[$0.range]) }
        }
        for (inPlace, other) in zip(body.records, alone.records) {
            #expect(attributes(inPlace, body) == attributes(other, alone))
            #expect(inPlace.index == other.index && inPlace.time == other.time)
            #expect(inPlace.uuid == other.uuid && inPlace.rawBytes == other.rawBytes)
        }
    }

    @Test func `takes the body's memory for the events', and makes no copy of it`() throws {
        var body = Array("[".utf8)
        body.reserveCapacity(3 << 20)
        let text = String(repeating: "some text or other", count: 10)
        while body.count < 2 << 20 { body += Array(#"{"type":"a","data":"\#(text)"},"#.utf8) }
        body += Array(#"{"type":"a"}]"#.utf8)
        let place = Self.place(of: body)
        let (count, last) = (body.count, body.count - 1)
        var context = Decoded.context()
        let arena = try JSONBody.decode(consume body, with: EventDecoder(), context: &context)
        #expect(Self.place(of: arena.bytes) == place)
        #expect(arena.bytes[last] == UInt8(ascii: "]"))
        // Behind it are the ids that were made, and the source.
        #expect(arena.bytes.count == count + arena.records.count * (36 + context.defaultSource.count))
    }

    private static func place(of bytes: [UInt8]) -> Int {
        bytes.withUnsafeBytes { Int(bitPattern: $0.baseAddress) }
    }
}
