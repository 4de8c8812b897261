/// The text stops being JSON at `offset`; it equals the count of bytes when the text is merely cut short.
package struct JSONSyntaxError: Error, Equatable, Sendable {
    package let offset: Int
}

/// A text that is JSON by its grammar, but not one that can be stored.
package struct JSONFault: Equatable, Sendable {
    package enum Reason: Sendable {
        case invalidUTF8
        case loneSurrogate
        case nullCharacter
        case tooDeep
        case numberOutOfRange
    }

    package let reason: Reason
    package let offset: Int

    package init(reason: Reason, offset: Int) {
        self.reason = reason
        self.offset = offset
    }
}

/// What ``JSONScanner/verdict(on:)`` found; a syntax error anywhere goes before any fault.
package enum JSONVerdict: Equatable, Sendable {
    case valid
    case malformed(offset: Int)
    case refused(JSONFault)
}

/// What a scan has noticed beside the syntax.
struct JSONFindings {
    /// The first fault in the order of the text.
    var fault: JSONFault?
    /// Whether a string held a backslash since the flag was cleared.
    var hasEscapes = false

    @inline(never) mutating func note(_ reason: JSONFault.Reason, at offset: Int) {
        if fault == nil { fault = JSONFault(reason: reason, offset: offset) }
    }
}

/// Checks JSON text against RFC 8259 and the limits, building nothing.
///
/// Strings are skipped eight bytes at a time; everything else is a branch a token. The nesting is a stack of
/// bits, so hostile depth costs an eighth of a byte a level and no recursion.
package struct JSONScanner: Sendable {
    package let depthMax: Int
    package let numberDigitsMax: Int

    package init(limits: EventLimits = EventLimits()) {
        depthMax = limits.depthMax
        numberDigitsMax = limits.numberDigitsMax
    }

    /// Judges a whole text: one value of any kind, among whitespace.
    package func verdict(on text: Span<UInt8>) -> JSONVerdict {
        var findings = JSONFindings()
        var index = 0
        do throws(JSONSyntaxError) {
            _ = text.skipSpace(&index)
            index = try skipValue(text, from: index, level: 1, &findings)
            _ = text.skipSpace(&index)
        } catch {
            return .malformed(offset: error.offset)
        }
        if index < text.count { return .malformed(offset: index) }
        return findings.fault.map(JSONVerdict.refused) ?? .valid
    }

    /// Returns the index after the value that starts at `start`.
    ///
    /// `level` is the nesting level that the value has if it is an object or an array.
    func skipValue(
        _ text: Span<UInt8>,
        from start: Int,
        level: Int,
        _ findings: inout JSONFindings
    ) throws(JSONSyntaxError) -> Int {
        var index = start
        var nesting = Nesting()
        while true {
            let first = text.byte(at: index)
            if first == .quote {
                index = try skipString(text, from: index &+ 1, &findings)
            } else if first.isDigit || first == UInt8(ascii: "-") {
                index = try skipNumber(text, from: index, &findings)
            } else if first == .braceOpen || first == .bracketOpen {
                let isObject = first == .braceOpen
                if nesting.depth &+ level > depthMax { findings.note(.tooDeep, at: index) }
                index &+= 1
                let next = text.skipSpace(&index)
                guard next == (isObject ? UInt8.braceClose : .bracketClose) else {
                    nesting.push(isObject)
                    if isObject { index = try skipKey(text, from: index, &findings) }
                    continue
                }
                index &+= 1
            } else {
                index = try skipLiteral(text, from: index, first)
            }
            // A value has ended: close what ends with it, then go on to the next one.
            while true {
                if nesting.depth == 0 { return index }
                let next = text.skipSpace(&index)
                if next == .comma {
                    index &+= 1
                    _ = text.skipSpace(&index)
                    if nesting.isObject { index = try skipKey(text, from: index, &findings) }
                    break
                }
                guard next == (nesting.isObject ? UInt8.braceClose : .bracketClose) else {
                    throw JSONSyntaxError(offset: index)
                }
                index &+= 1
                nesting.pop()
            }
        }
    }

    /// Returns the index of the value after the member name that starts at `start`.
    @inline(__always) func skipKey(
        _ text: Span<UInt8>,
        from start: Int,
        _ findings: inout JSONFindings
    ) throws(JSONSyntaxError) -> Int {
        guard text.byte(at: start) == .quote else { throw JSONSyntaxError(offset: start) }
        var index = try skipString(text, from: start &+ 1, &findings)
        guard text.skipSpace(&index) == .colon else { throw JSONSyntaxError(offset: index) }
        index &+= 1
        _ = text.skipSpace(&index)
        return index
    }

    @inline(never) private func skipLiteral(
        _ text: Span<UInt8>,
        from start: Int,
        _ first: UInt8
    ) throws(JSONSyntaxError) -> Int {
        let rest: (UInt8, UInt8, UInt8, UInt8)
        switch first {
        case UInt8(ascii: "t"): rest = (UInt8(ascii: "r"), UInt8(ascii: "u"), UInt8(ascii: "e"), 0)
        case UInt8(ascii: "n"): rest = (UInt8(ascii: "u"), UInt8(ascii: "l"), UInt8(ascii: "l"), 0)
        case UInt8(ascii: "f"):
            rest = (UInt8(ascii: "a"), UInt8(ascii: "l"), UInt8(ascii: "s"), UInt8(ascii: "e"))
        default: throw JSONSyntaxError(offset: start)
        }
        guard text.byte(at: start &+ 1) == rest.0 else { throw JSONSyntaxError(offset: start &+ 1) }
        guard text.byte(at: start &+ 2) == rest.1 else { throw JSONSyntaxError(offset: start &+ 2) }
        guard text.byte(at: start &+ 3) == rest.2 else { throw JSONSyntaxError(offset: start &+ 3) }
        if rest.3 == 0 { return start &+ 4 }
        guard text.byte(at: start &+ 4) == rest.3 else { throw JSONSyntaxError(offset: start &+ 4) }
        return start &+ 5
    }
}

/// Open objects and arrays, a bit each: the innermost 64 in a word, the others spilled.
private struct Nesting {
    private(set) var depth = 0
    private var kinds: UInt64 = 0
    private var spilled: [UInt64] = []

    @inline(__always) var isObject: Bool { kinds & 1 == 1 }

    @inline(__always) mutating func push(_ isObject: Bool) {
        if depth & 63 == 0, depth > 0 { spill() }
        kinds = kinds &<< 1 | (isObject ? 1 : 0)
        depth &+= 1
    }

    @inline(__always) mutating func pop() {
        depth &-= 1
        kinds &>>= 1
        if depth & 63 == 0, depth > 0 { unspill() }
    }

    @inline(never) private mutating func spill() { spilled.append(kinds) }

    @inline(never) private mutating func unspill() { kinds = spilled.popLast() ?? 0 }
}
