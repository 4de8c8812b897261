/// Numbers of JSON texts whose syntax has been checked.
package enum JSONNumber {
    /// A number's parts: digits as an integer, and the power of ten that it is multiplied by.
    private struct Parts {
        var isNegative = false
        /// The first 19 significant digits.
        var significand: UInt64 = 0
        /// Digits from the first that is not 0.
        var significantDigits = 0
        var integerDigits = 0
        var leadingZeros = 0
        var fractionDigits = 0
        var exponent = 0
    }

    /// Saturates an exponent far beyond what PostgreSQL takes, far below what overflows an Int.
    private static let exponentMax = 1_000_000_000

    /// The double nearest to the number, or nil when none is finite or the text is not a number.
    package static func double(_ text: Span<UInt8>, in range: Range<Int>) -> Double? {
        let parts = parts(of: text, in: range)
        let power = parts.exponent - parts.fractionDigits
        // Both operands are exact below these bounds, so one IEEE operation rounds once (Clinger 1990).
        if parts.significantDigits <= 19, parts.significand <= 1 << 53, power >= -22, power <= 22 {
            let magnitude = Double(parts.significand)
            let value = power < 0 ? magnitude / powers[-power] : magnitude * powers[power]
            return parts.isNegative ? -value : value
        }
        let value = Double(String(decoding: [UInt8](copying: text.extracting(range)), as: UTF8.self))
        return value.flatMap { $0.isFinite ? $0 : nil }
    }

    /// How many digits the number has when written out without an exponent.
    static func writtenDigits(_ text: Span<UInt8>, in range: Range<Int>) -> Int {
        let parts = parts(of: text, in: range)
        if abs(parts.exponent) == exponentMax { return Int.max }
        let fraction = max(0, parts.fractionDigits - parts.exponent)
        // A zero has one digit before its point, wherever the exponent puts it.
        let isZero = parts.significantDigits == 0
        let integer = isZero ? 1 : max(1, parts.integerDigits + parts.exponent - parts.leadingZeros)
        return integer + fraction
    }

    private static func parts(of text: Span<UInt8>, in range: Range<Int>) -> Parts {
        var parts = Parts()
        var index = range.lowerBound
        let end = min(range.upperBound, text.count)
        if index < end, text[index] == UInt8(ascii: "-") {
            parts.isNegative = true
            index &+= 1
        }
        let integerStart = index
        while index < end, text[index].isDigit {
            take(text[index], &parts)
            index &+= 1
        }
        parts.integerDigits = index &- integerStart
        if index < end, text[index] == UInt8(ascii: ".") {
            index &+= 1
            let fractionStart = index
            while index < end, text[index].isDigit {
                take(text[index], &parts)
                index &+= 1
            }
            parts.fractionDigits = index &- fractionStart
        }
        if index < end, text[index] | 0x20 == UInt8(ascii: "e") {
            parts.exponent = exponent(text, in: index &+ 1..<end)
        }
        return parts
    }

    @inline(__always) private static func take(_ digit: UInt8, _ parts: inout Parts) {
        if parts.significantDigits == 0, digit == UInt8(ascii: "0") {
            parts.leadingZeros &+= 1
            return
        }
        parts.significantDigits &+= 1
        if parts.significantDigits <= 19 {
            parts.significand = parts.significand &* 10 &+ UInt64(digit &- UInt8(ascii: "0"))
        }
    }

    private static func exponent(_ text: Span<UInt8>, in range: Range<Int>) -> Int {
        var index = range.lowerBound
        var isNegative = false
        if text.byte(at: index) == UInt8(ascii: "-") || text.byte(at: index) == UInt8(ascii: "+") {
            isNegative = text[index] == UInt8(ascii: "-")
            index &+= 1
        }
        var magnitude = 0
        while index < range.upperBound, text[index].isDigit {
            magnitude = min(exponentMax, magnitude &* 10 &+ Int(text[index] &- UInt8(ascii: "0")))
            index &+= 1
        }
        return isNegative ? -magnitude : magnitude
    }

    /// The powers of ten that a double holds exactly.
    private static let powers: [23 of Double] = [
        1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
        1e19, 1e20, 1e21, 1e22,
    ]
}
