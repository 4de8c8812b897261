import Events

/// A string of a job's body: the bytes between its quotes.
struct QuotedRange: Equatable, Sendable {
    var range = 0..<0
    var hasEscapes = false

    func unescaped(in body: Span<UInt8>) -> [UInt8] {
        var text: [UInt8] = []
        text.append(copying: body.extracting(range))
        if !hasEscapes { return text }
        // The line has been read, so a bad escape is one that means nothing; such bytes stay as they are.
        guard let string = JSONReader.unescaped(text) else { return text }
        return Array(string.utf8)
    }
}

/// One event of a job of encoding "ndjson", as ranges of the body.
struct EventLine: Sendable {
    var time: Int64 = 0
    var type = QuotedRange()
    var source = QuotedRange()
    var subject: QuotedRange?
    /// The JSON text of the event's data; absent for null.
    var data: Range<Int>?
    /// The JSON text of an array: what an analysis asks of the data, in its place.
    var fields: Range<Int>?

    var hasEscapes: Bool { type.hasEscapes || source.hasEscapes || subject?.hasEscapes == true }
}

/// Reads the lines `{"ts":µs,"type":"…","source":"…","subject":"…"|null,"data":<json>|null}`, one after
/// another.
///
/// Made for speed on what the service itself writes: members in any order, with or without spaces, unknown
/// ones skipped, each value passed over once. `data` must be balanced, and was checked by grammar when it was
/// received.
struct EventLineReader {
    private var offset = 0
    private var line = 0

    /// Returns the next event, past blank lines; `nil` at the end.
    mutating func next(_ body: Span<UInt8>) throws(JobBodyError) -> EventLine? {
        while offset < body.count, Self.isSpace(body[offset]) || body[offset] == UInt8(ascii: "\n") {
            offset += 1
        }
        if offset == body.count { return nil }
        line += 1
        let event = try members(body)
        skipSpace(body)
        if offset < body.count {
            if body[offset] != UInt8(ascii: "\n") { throw error("text after the event") }
            offset += 1
        }
        return event
    }

    private mutating func members(_ body: Span<UInt8>) throws(JobBodyError) -> EventLine {
        var event = EventLine()
        var hasTime = false
        var hasType = false
        var hasSource = false
        try expect(UInt8(ascii: "{"), body)
        while true {
            skipSpace(body)
            let name = try string(body)
            skipSpace(body)
            try expect(UInt8(ascii: ":"), body)
            skipSpace(body)
            switch Member(body, name.range) {
            case .time:
                event.time = try integer(body)
                hasTime = true
            case .type:
                event.type = try string(body)
                hasType = true
            case .source:
                event.source = try string(body)
                hasSource = true
            case .subject: event.subject = try isNull(body) ? nil : string(body)
            case .data: event.data = try isNull(body) ? nil : value(body)
            case .fields: event.fields = try value(body)
            case .other: _ = try value(body)
            }
            skipSpace(body)
            if offset < body.count, body[offset] == UInt8(ascii: "}") { break }
            try expect(UInt8(ascii: ","), body)
        }
        offset += 1
        if !hasTime || !hasType || !hasSource { throw error("an event needs ts, type and source") }
        return event
    }

    /// The members that matter, told apart by length and first byte before anything is compared.
    private enum Member {
        case time, type, source, subject, data, fields, other

        init(_ body: Span<UInt8>, _ range: Range<Int>) {
            let candidate: (Member, StaticString)
            switch range.count {
            case 2: candidate = (.time, "ts")
            case 4 where body[range.lowerBound] == UInt8(ascii: "d"): candidate = (.data, "data")
            case 4: candidate = (.type, "type")
            case 6 where body[range.lowerBound] == UInt8(ascii: "f"): candidate = (.fields, "fields")
            case 6: candidate = (.source, "source")
            case 7: candidate = (.subject, "subject")
            default:
                self = .other
                return
            }
            self = Self.matches(body, range, candidate.1) ? candidate.0 : .other
        }

        private static func matches(_ body: Span<UInt8>, _ range: Range<Int>, _ name: StaticString) -> Bool {
            name.withUTF8Buffer { bytes in
                for index in 0..<bytes.count where body[range.lowerBound + index] != bytes[index] {
                    return false
                }
                return true
            }
        }
    }

    // MARK: Values

    private mutating func integer(_ body: Span<UInt8>) throws(JobBodyError) -> Int64 {
        let isNegative = offset < body.count && body[offset] == UInt8(ascii: "-")
        if isNegative { offset += 1 }
        let start = offset
        var value: Int64 = 0
        while offset < body.count, body[offset] &- UInt8(ascii: "0") < 10 {
            // Eighteen digits always fit, and microseconds have sixteen until the year 2286.
            if offset - start == 18 { throw error("a time of too many digits") }
            value = value &* 10 &+ Int64(body[offset] &- UInt8(ascii: "0"))
            offset += 1
        }
        if offset == start { throw error("a time that is no whole number") }
        return isNegative ? -value : value
    }

    private mutating func isNull(_ body: Span<UInt8>) throws(JobBodyError) -> Bool {
        guard offset < body.count, body[offset] == UInt8(ascii: "n") else { return false }
        try expect(UInt8(ascii: "n"), body)
        try expect(UInt8(ascii: "u"), body)
        try expect(UInt8(ascii: "l"), body)
        try expect(UInt8(ascii: "l"), body)
        return true
    }

    private mutating func string(_ body: Span<UInt8>) throws(JobBodyError) -> QuotedRange {
        try expect(UInt8(ascii: "\""), body)
        let start = offset
        let hasEscapes = try skipString(body)
        return QuotedRange(range: start..<offset - 1, hasEscapes: hasEscapes)
    }

    /// Moves behind the closing quote; the opening one is passed already.
    private mutating func skipString(_ body: Span<UInt8>) throws(JobBodyError) -> Bool {
        var hasEscapes = false
        var index = offset
        let count = body.count
        while index < count {
            let byte = body[index]
            index += 1
            if byte == UInt8(ascii: "\"") {
                offset = index
                return hasEscapes
            }
            if byte == UInt8(ascii: "\\") {
                hasEscapes = true
                index += 1
            } else if byte < 0x20 {
                offset = index - 1
                throw error("a control character in a string")
            }
        }
        offset = count
        throw error("the body ends in a string")
    }

    /// Passes over one value of any kind, by its quotes and brackets alone.
    private mutating func value(_ body: Span<UInt8>) throws(JobBodyError) -> Range<Int> {
        let start = offset
        var depth = 0
        while offset < body.count {
            switch body[offset] {
            case UInt8(ascii: "\""):
                offset += 1
                _ = try skipString(body)
                if depth == 0 { return start..<offset }
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return try scalar(start) }
                depth -= 1
                if depth == 0 {
                    offset += 1
                    return start..<offset
                }
            case UInt8(ascii: ",") where depth == 0: return try scalar(start)
            case UInt8(ascii: "\n"): throw error("the line ends in a value")
            default: break
            }
            offset += 1
        }
        throw error("the body ends in a value")
    }

    private func scalar(_ start: Int) throws(JobBodyError) -> Range<Int> {
        if offset == start { throw error("a value is missing") }
        return start..<offset
    }

    // MARK: Bytes

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0d }

    private mutating func skipSpace(_ body: Span<UInt8>) {
        while offset < body.count, Self.isSpace(body[offset]) { offset += 1 }
    }

    private mutating func expect(_ byte: UInt8, _ body: Span<UInt8>) throws(JobBodyError) {
        guard offset < body.count else { throw error("the body ends inside an event") }
        if body[offset] != byte { throw error("'\(Character(Unicode.Scalar(byte)))' was expected") }
        offset += 1
    }

    private func error(_ reason: String) -> JobBodyError {
        JobBodyError(line: line, offset: offset, reason: reason)
    }
}
