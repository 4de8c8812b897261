// Strings and numbers: the leaves of ``JSONScanner``, where nearly all of the bytes are.

extension JSONScanner {
    /// Returns the index after the closing quote of the string whose first character is at `start`.
    @inline(__always) func skipString(
        _ text: Span<UInt8>,
        from start: Int,
        _ findings: inout JSONFindings
    ) throws(JSONSyntaxError) -> Int {
        var index = start
        while index &+ 8 <= text.count {
            let word = text.word(at: index)
            let stops = word.stringStops
            if stops != 0 {
                let position = stops.lowestFlaggedByte
                index &+= position
                if UInt8(truncatingIfNeeded: word &>> UInt64(position &* 8)) == .quote { return index &+ 1 }
                break
            }
            index &+= 8
        }
        return try skipStringRest(text, from: index, &findings)
    }

    /// The same from a character that is not plain, or near the end of the text.
    @inline(never) private func skipStringRest(
        _ text: Span<UInt8>,
        from start: Int,
        _ findings: inout JSONFindings
    ) throws(JSONSyntaxError) -> Int {
        var index = start
        while true {
            while index &+ 8 <= text.count {
                let stops = text.word(at: index).stringStops
                if stops != 0 {
                    index &+= stops.lowestFlaggedByte
                    break
                }
                index &+= 8
            }
            let byte = text.byte(at: index)
            if byte == .quote { return index &+ 1 }
            if byte == .backslash {
                findings.hasEscapes = true
                index = try skipEscape(text, from: index, &findings)
            } else if byte >= 0x80 {
                let length = UTF8Check.multibyteLength(in: text, at: index)
                if length == 0 { findings.note(.invalidUTF8, at: index) }
                index &+= max(1, length)
            } else if byte >= 0x20 {
                index &+= 1
            } else {
                throw JSONSyntaxError(offset: index)
            }
        }
    }

    /// Returns the index after the escape whose backslash is at `start`, both halves of a pair taken
    /// together.
    private func skipEscape(
        _ text: Span<UInt8>,
        from start: Int,
        _ findings: inout JSONFindings
    ) throws(JSONSyntaxError) -> Int {
        switch text.byte(at: start &+ 1) {
        case .quote, .backslash, UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"),
            UInt8(ascii: "r"), UInt8(ascii: "t"):
            return start &+ 2
        case UInt8(ascii: "u"):
            break
        default:
            throw JSONSyntaxError(offset: start &+ 1)
        }
        guard let unit = JSONString.escapedUnit(text, at: start) else {
            var index = start &+ 2
            while text.byte(at: index).hexValue != nil { index &+= 1 }
            throw JSONSyntaxError(offset: index)
        }
        switch unit {
        case 0:
            findings.note(.nullCharacter, at: start)
        case 0xD800..<0xDC00:
            if let low = JSONString.escapedUnit(text, at: start &+ 6), 0xDC00..<0xE000 ~= low {
                return start &+ 12
            }
            // What follows is looked at for itself: it may be a fault of its own, or the start of a pair.
            findings.note(.loneSurrogate, at: start)
        case 0xDC00..<0xE000:
            findings.note(.loneSurrogate, at: start)
        default:
            break
        }
        return start &+ 6
    }

    /// Returns the index after the number that starts at `start` with a digit or a minus.
    @inline(__always) func skipNumber(
        _ text: Span<UInt8>,
        from start: Int,
        _ findings: inout JSONFindings
    ) throws(JSONSyntaxError) -> Int {
        var index = start
        if text.byte(at: index) == UInt8(ascii: "-") { index &+= 1 }
        if text.byte(at: index) == UInt8(ascii: "0") {
            index &+= 1
        } else {
            index = try skipDigits(text, from: index)
        }
        if text.byte(at: index) == UInt8(ascii: ".") { index = try skipDigits(text, from: index &+ 1) }
        let hasExponent = text.byte(at: index) | 0x20 == UInt8(ascii: "e")
        if hasExponent {
            index &+= 1
            let sign = text.byte(at: index)
            if sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { index &+= 1 }
            index = try skipDigits(text, from: index)
        }
        if hasExponent || index &- start > numberDigitsMax {
            if JSONNumber.writtenDigits(text, in: start..<index) > numberDigitsMax {
                findings.note(.numberOutOfRange, at: start)
            }
        }
        return index
    }

    @inline(__always) private func skipDigits(
        _ text: Span<UInt8>,
        from start: Int
    ) throws(JSONSyntaxError) -> Int {
        var index = start
        while text.byte(at: index).isDigit { index &+= 1 }
        if index == start { throw JSONSyntaxError(offset: index) }
        return index
    }
}
