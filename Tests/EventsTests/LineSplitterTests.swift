import Events
import Testing

@Suite struct `Line splitter` {
    /// What came out, apart from how it was cut.
    enum Piece: Equatable { case line(String), blank, tooLong(String) }

    static func pieces(
        _ parts: [[UInt8]],
        lineBytesMax: Int = 20,
        separatesRecords: Bool = false
    ) -> (pieces: [Piece], lines: Int, blankLines: Int) {
        var splitter = LineSplitter(lineBytesMax: lineBytesMax, separatesRecords: separatesRecords)
        var pieces: [Piece] = []
        func take(_ line: LineSplitter.Line, _ part: [UInt8]) {
            switch line {
            case .within(let range): pieces.append(.line(String(decoding: part[range], as: UTF8.self)))
            case .carried(let range):
                pieces.append(.line(String(decoding: splitter.carried[range], as: UTF8.self)))
            case .blank: pieces.append(.blank)
            case .tooLong: pieces.append(.tooLong(String(decoding: splitter.carried, as: UTF8.self)))
            }
        }
        for part in parts {
            var offset = 0
            while let line = splitter.next(in: part.span, from: &offset) { take(line, part) }
            #expect(offset == part.count)
            #expect(splitter.carried.count <= lineBytesMax)
        }
        if let line = splitter.finish() { take(line, []) }
        return (pieces, splitter.lines, splitter.blankLines)
    }

    static let texts = [
        "", "\n", "{\"a\":1}\n{\"b\":2}\n", "{\"a\":1}\r\n\r\n  \n{\"b\":2}",
        "\u{1E}{\"a\":1}\n\u{1E}{\"b\":2}\n", "a\rb\n",
        "\n\n\nlast", "this line is far over the limit of twenty\nnext\n", "exactly twenty bytes\nx",
        "twenty one bytes long\nx", "exactly nineteen...\r\nx", "  \u{1E} spaced \r\n\u{1E}\nend\r",
        "endless line without an end!",
        "first\n                                 \nthird\n",
    ]

    @Test func `gives the same lines however the text is cut`() {
        for text in Self.texts {
            for separatesRecords in [false, true] {
                let bytes = Array(text.utf8)
                let whole = Self.pieces([bytes], separatesRecords: separatesRecords)
                let single = Self.pieces(bytes.map { [$0] }, separatesRecords: separatesRecords)
                #expect(whole == single, "\(text) byte by byte")
                for first in 0...bytes.count {
                    for second in first...bytes.count {
                        let parts = [
                            Array(bytes[..<first]), Array(bytes[first..<second]), Array(bytes[second...]),
                        ]
                        let cut = Self.pieces(parts, separatesRecords: separatesRecords)
                        #expect(whole == cut, "\(text) cut at \(first) and \(second)")
                    }
                }
            }
        }
    }

    @Test func `strips line ends, spaces and record separators`() {
        let result = Self.pieces([Array("a\r\n\r\n \t b \n\u{1E}c\nd".utf8)])
        #expect(result.pieces == [.line("a"), .blank, .line("b"), .line("c"), .line("d")])
        #expect(result.lines == 5)
        #expect(result.blankLines == 1)
    }

    @Test func `keeps the beginning of a line over the limit and goes on after it`() {
        let result = Self.pieces([Array("0123456789012345678901234\nok\n".utf8)])
        #expect(result.pieces == [.tooLong("01234567890123456789"), .line("ok")])
        #expect(result.lines == 2)
    }

    @Test func `ends a record at a separator when told so`() {
        let text = Array("\u{1E}{}\u{1E}[]\n\u{1E}1".utf8)
        #expect(Self.pieces([text], separatesRecords: true).pieces == [.line("{}"), .line("[]"), .line("1")])
        #expect(Self.pieces([text], separatesRecords: true).lines == 2)
        #expect(Self.pieces([text]).pieces == [.line("{}\u{1E}[]"), .line("1")])
    }
}

@Suite struct `Event lines` {
    @Test func `numbers events, not lines, and stops at a line`() {
        let body = Array("{\"type\":\"a\"}\n\n{broken\n{\"type\":\"b\"}\n{\"type\":\"c\"}".utf8)
        var lines = EventLines(decoder: EventDecoder())
        var context = Decoded.context()
        var arena = EventArena()
        var offset = 0

        lines.decode(body.span, from: &offset, untilLine: 3, context: &context, into: &arena)
        #expect(lines.lines == 3)
        #expect(lines.events == 2)
        #expect(arena.records.map(\.index) == [0])
        #expect(arena.rejections.map(\.index) == [1])
        #expect(arena.rejections.first?.code == .malformedJSON)
        #expect(arena.rejections.first?.raw == Array("{broken".utf8))

        lines.decode(body.span, from: &offset, context: &context, into: &arena)
        lines.finish(context: &context, into: &arena)
        #expect(offset == body.count)
        #expect(arena.records.map(\.index) == [0, 2, 3])
        #expect(arena.records.map { arena.text($0.type) } == ["a", "b", "c"])
        #expect(lines.lines == 5)
        #expect(lines.blankLines == 1)
    }

    @Test func `refuse an endless line as one event and keep its neighbours`() throws {
        var limits = EventLimits()
        limits.eventBytesMax = 40
        limits.rejectBytesMax = 50
        let long = "{\"type\":\"a\",\"id\":\"long\",\"data\":\"" + String(repeating: "x", count: 500) + "\"}"
        let body = Array("{\"type\":\"a\"}\n\(long)\n{\"type\":\"b\"}\n".utf8)
        for size in 1...body.count {
            var lines = EventLines(decoder: EventDecoder(limits: limits))
            var context = Decoded.context()
            var arena = EventArena()
            for start in stride(from: 0, to: body.count, by: size) {
                var offset = 0
                let part = Array(body[start..<min(start + size, body.count)])
                lines.decode(part.span, from: &offset, context: &context, into: &arena)
            }
            lines.finish(context: &context, into: &arena)
            #expect(arena.records.map(\.index) == [0, 2], "size \(size)")
            let rejection = try #require(arena.rejections.first)
            #expect(rejection.code == .eventTooLarge)
            #expect(rejection.id == "long")
            #expect(rejection.raw == Array(long.utf8.prefix(50)))
        }
    }
}
