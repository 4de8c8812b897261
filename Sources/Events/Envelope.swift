/// The member names of an event that have a meaning of their own; any other is an extension attribute.
enum EnvelopeName: Int, CaseIterable {
    case type, id, source, subject, time, specversion, datacontenttype, dataschema, data, dataBase64

    /// A JSON pointer to the member.
    var pointer: String { self == .dataBase64 ? "/data_base64" : "/\(self)" }

    /// The name that stands at `range`, compared by words of eight bytes.
    @inline(__always) static func named(_ text: Span<UInt8>, in range: Range<Int>) -> EnvelopeName? {
        let count = range.count
        if count < 2 || count > 15 { return nil }
        let head = letters(text, at: range.lowerBound, min(count, 8))
        if count <= 8 {
            switch head {
            case word("i", "d"): return .id
            case word("t", "y", "p", "e"): return .type
            case word("t", "i", "m", "e"): return .time
            case word("d", "a", "t", "a"): return .data
            case word("s", "o", "u", "r", "c", "e"): return .source
            case word("s", "u", "b", "j", "e", "c", "t"): return .subject
            default: return nil
            }
        }
        let tail = letters(text, at: range.lowerBound &+ 8, count &- 8)
        switch head {
        case word("s", "p", "e", "c", "v", "e", "r", "s"):
            return tail == word("i", "o", "n") ? .specversion : nil
        case word("d", "a", "t", "a", "s", "c", "h", "e"):
            return tail == word("m", "a") ? .dataschema : nil
        case word("d", "a", "t", "a", "_", "b", "a", "s"):
            return tail == word("e", "6", "4") ? .dataBase64 : nil
        case word("d", "a", "t", "a", "c", "o", "n", "t"):
            return tail == word("e", "n", "t", "t", "y", "p", "e") ? .datacontenttype : nil
        default: return nil
        }
    }

    /// Up to eight bytes as a word, the missing ones 0.
    @inline(__always) private static func letters(_ text: Span<UInt8>, at start: Int, _ count: Int) -> UInt64
    {
        if start &+ 8 <= text.count {
            return text.word(at: start) & UInt64.max &>> UInt64((8 &- count) &* 8)
        }
        var word: UInt64 = 0
        for position in 0..<count {
            word |= UInt64(text.byte(at: start &+ position)) &<< UInt64(position &* 8)
        }
        return word
    }

    @inline(__always) private static func word(
        _ a: Unicode.Scalar,
        _ b: Unicode.Scalar,
        _ c: Unicode.Scalar = "\0",
        _ d: Unicode.Scalar = "\0",
        _ e: Unicode.Scalar = "\0",
        _ f: Unicode.Scalar = "\0",
        _ g: Unicode.Scalar = "\0",
        _ h: Unicode.Scalar = "\0"
    ) -> UInt64 {
        let low = UInt64(a.value) | UInt64(b.value) << 8 | UInt64(c.value) << 16 | UInt64(d.value) << 24
        let high = UInt64(e.value) | UInt64(f.value) << 8 | UInt64(g.value) << 16 | UInt64(h.value) << 24
        return low | high << 32
    }
}

/// Where one member of an event lies in its text.
struct Member {
    // Positions are 32 bits so that a whole envelope stays small: it is made and dropped for every event.
    private let nameStart: Int32
    private let nameEnd: Int32
    private let valueStart: Int32
    private let valueEnd: Int32
    let nameHasEscapes: Bool
    /// Whether the value is a string with a backslash in it.
    let valueHasEscapes: Bool

    static let none = Member(name: 0..<0, value: 0..<0, nameHasEscapes: false, valueHasEscapes: false)

    @inline(__always) init(name: Range<Int>, value: Range<Int>, nameHasEscapes: Bool, valueHasEscapes: Bool) {
        nameStart = Int32(name.lowerBound)
        nameEnd = Int32(name.upperBound)
        valueStart = Int32(value.lowerBound)
        valueEnd = Int32(value.upperBound)
        self.nameHasEscapes = nameHasEscapes
        self.valueHasEscapes = valueHasEscapes
    }

    /// The name between its quotes.
    @inline(__always) var name: Range<Int> { Int(nameStart)..<Int(nameEnd) }

    /// The value, quotes included.
    @inline(__always) var value: Range<Int> { Int(valueStart)..<Int(valueEnd) }

    @inline(__always) var isAbsent: Bool { valueEnd == 0 }
}

/// What one pass over an event's text finds: its top-level members, and the first fault.
///
/// Not copyable, because a copy of it costs as much as a short event.
struct Envelope: ~Copyable {
    /// By ``EnvelopeName``; ``Member/none`` when there is none.
    private var known = [10 of Member](repeating: .none)
    /// All other members, in the order of the text.
    private(set) var others: [Member] = []
    private(set) var isObject = false
    /// A name that was there before: its pointer.
    private(set) var duplicate: String?
    private(set) var findings = JSONFindings()

    /// The member, absent also when its value is null.
    @inline(__always) func member(_ name: EnvelopeName, _ text: Span<UInt8>) -> Member? {
        let member = known[name.rawValue]
        if member.isAbsent || text[member.value.lowerBound] == UInt8(ascii: "n") { return nil }
        return member
    }

    /// Reads the value that starts at `start` and returns the index after it.
    ///
    /// On a throw the members read so far are kept.
    mutating func scan(
        _ text: Span<UInt8>,
        from start: Int,
        with scanner: JSONScanner
    ) throws(JSONSyntaxError) -> Int {
        guard text.byte(at: start) == .braceOpen else {
            return try scanner.skipValue(text, from: start, level: 1, &findings)
        }
        isObject = true
        if scanner.depthMax < 1 { findings.note(.tooDeep, at: start) }
        var findings = findings
        defer { self.findings = findings }
        var index = start &+ 1
        if text.skipSpace(&index) == .braceClose { return index &+ 1 }
        while true {
            guard text.byte(at: index) == .quote else { throw JSONSyntaxError(offset: index) }
            let nameStart = index &+ 1
            findings.hasEscapes = false
            index = try scanner.skipString(text, from: nameStart, &findings)
            let name = nameStart..<index &- 1
            let nameHasEscapes = findings.hasEscapes
            guard text.skipSpace(&index) == .colon else { throw JSONSyntaxError(offset: index) }
            index &+= 1
            let first = text.skipSpace(&index)
            let valueStart = index
            findings.hasEscapes = false
            if first == .quote {
                index = try scanner.skipString(text, from: index &+ 1, &findings)
            } else {
                index = try scanner.skipValue(text, from: index, level: 2, &findings)
            }
            let member = Member(
                name: name,
                value: valueStart..<index,
                nameHasEscapes: nameHasEscapes,
                valueHasEscapes: findings.hasEscapes
            )
            keep(member, text)
            let next = text.skipSpace(&index)
            if next == .braceClose { break }
            guard next == .comma else { throw JSONSyntaxError(offset: index) }
            index &+= 1
            _ = text.skipSpace(&index)
        }
        findDuplicateOther(text)
        return index &+ 1
    }

    @inline(__always) private mutating func keep(_ member: Member, _ text: Span<UInt8>) {
        let name =
            member.nameHasEscapes ? escapedName(member, text) : EnvelopeName.named(text, in: member.name)
        guard let name else {
            others.append(member)
            return
        }
        if known[name.rawValue].isAbsent {
            known[name.rawValue] = member
        } else if duplicate == nil {
            duplicate = name.pointer
        }
    }

    /// `"t\u0079pe"` is `type` as well, and so counts as its duplicate.
    @inline(never) private func escapedName(_ member: Member, _ text: Span<UInt8>) -> EnvelopeName? {
        let name = Self.name(of: member, text)
        return EnvelopeName.named(name.span, in: 0..<name.count)
    }

    private mutating func findDuplicateOther(_ text: Span<UInt8>) {
        if others.count < 2 || duplicate != nil { return }
        // A set, not pairs: an event of the full size has room for 40,000 names.
        var seen: Set<[UInt8]> = []
        for member in others where !seen.insert(Self.name(of: member, text)).inserted {
            duplicate = Self.pointer(to: member, text)
            return
        }
    }

    /// The JSON pointer to the member that `offset` lies in, empty when it lies in none.
    func pointer(at offset: Int, _ text: Span<UInt8>) -> String {
        for name in EnvelopeName.allCases where known[name.rawValue].value.contains(offset) {
            return name.pointer
        }
        return others.first { $0.value.contains(offset) }.map { Self.pointer(to: $0, text) } ?? ""
    }

    /// The member's name as UTF-8.
    static func name(of member: Member, _ text: Span<UInt8>) -> [UInt8] {
        if !member.nameHasEscapes { return [UInt8](copying: text.extracting(member.name)) }
        var name: [UInt8] = []
        JSONString.appendUnescaped(text, in: member.name, to: &name)
        return name
    }

    /// The JSON pointer (RFC 6901) to a member of the event.
    static func pointer(to member: Member, _ text: Span<UInt8>) -> String {
        var pointer: [UInt8] = []
        JSONPointer.append(name(of: member, text).span, to: &pointer)
        return String(decoding: pointer, as: UTF8.self)
    }
}
