import Events
import Testing

@Suite struct `JSON body` {
    static func decode(
        _ text: String,
        as shape: JSONBody.Shape = .any
    ) -> (count: Int?, error: JSONBodyError?, arena: EventArena) {
        var context = Decoded.context()
        var arena = EventArena()
        do throws(JSONBodyError) {
            let count = try JSONBody.decode(
                Array(text.utf8).span,
                as: shape,
                with: EventDecoder(),
                context: &context,
                into: &arena
            )
            return (count, nil, arena)
        } catch {
            return (nil, error, arena)
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

    @Test func `says at which byte it stops being JSON and keeps nothing`() {
        let cases: [(String, JSONBodyError)] = [
            ("", .empty), (" \n", .empty), ("1", .scalar), ("\"a\"", .scalar), ("null", .scalar),
            ("nulx", .malformed(offset: 3)), ("\u{FEFF}[]", .malformed(offset: 0)),
            ("[{\"type\":\"a\"},", .malformed(offset: 14)), ("[{\"type\":\"a\"},]", .malformed(offset: 14)),
            ("{\"type\":\"a\"}{", .malformed(offset: 12)), ("[{\"type\":\"a\"}]]", .malformed(offset: 14)),
            ("[{\"type\":\"a\"} {", .malformed(offset: 14)), ("[3,{\"type\":tru}]", .malformed(offset: 14)),
        ]
        for (text, error) in cases {
            let result = Self.decode(text)
            #expect(result.error == error, "\(text)")
            #expect(
                result.arena.bytes.isEmpty && result.arena.records.isEmpty && result.arena.rejections.isEmpty
            )
        }
    }

    @Test func `is malformed at its end wherever it is cut`() {
        let text = #"[{"type":"a","data":{"k":[1,"é\n",true]}},{"type":1},"x"]"#
        let bytes = Array(text.utf8)
        for count in 1..<bytes.count {
            var context = Decoded.context()
            var arena = EventArena()
            arena.bytes = [1, 2, 3]
            let part = Array(bytes[..<count])
            let error = #expect(throws: JSONBodyError.self) {
                try JSONBody.decode(part.span, with: EventDecoder(), context: &context, into: &arena)
            }
            #expect(error == .malformed(offset: count))
            #expect(arena.bytes == [1, 2, 3])
            #expect(arena.records.isEmpty && arena.rejections.isEmpty)
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
}
