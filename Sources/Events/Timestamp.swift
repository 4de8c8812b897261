/// Moments as microseconds since 1970 UTC, read from and written as RFC 3339.
package enum Timestamp {
    private static let microsecondsPerDay: Int64 = 86_400_000_000
    /// The years that four digits can write: 0001-01-01 to the end of 9999.
    package static let range: ClosedRange<Int64> = -62_135_596_800_000_000...253_402_300_799_999_999

    /// Reads an RFC 3339 timestamp; nil when the text is none.
    ///
    /// `t` and `z` may be lower case. Fraction digits beyond six are dropped. Refused: second 60, year 0000
    /// (also when only the offset leads there), a space for the `T`.
    package static func parse(_ text: Span<UInt8>) -> Int64? {
        guard text.count >= 20,
            let year = number(text, 0, 4), text[4] == UInt8(ascii: "-"),
            let month = number(text, 5, 2), text[7] == UInt8(ascii: "-"),
            let day = number(text, 8, 2), text[10] | 0x20 == UInt8(ascii: "t"),
            let hour = number(text, 11, 2), text[13] == .colon,
            let minute = number(text, 14, 2), text[16] == .colon,
            let second = number(text, 17, 2)
        else { return nil }
        guard year >= 1, 1...12 ~= month, 1...days(in: month, of: year) ~= day else { return nil }
        guard hour <= 23, minute <= 59, second <= 59 else { return nil }
        var index = 19
        guard let microsecond = fraction(text, &index), let offset = offset(text, from: index) else {
            return nil
        }
        let seconds = (hour * 60 + minute - offset) * 60 + second
        let value = dayNumber(year, month, day) * microsecondsPerDay + seconds * 1_000_000 + microsecond
        return range.contains(value) ? value : nil
    }

    /// Reads a timestamp out of a decoded query, where the plus of an offset has become a space unless it was
    /// escaped, and few escape it.
    package static func parse(query text: String) -> Int64? {
        var bytes = Array(text.utf8)
        if bytes.count > 6, bytes[bytes.count - 6] == UInt8(ascii: " ") {
            bytes[bytes.count - 6] = UInt8(ascii: "+")
        }
        return parse(bytes.span)
    }

    /// The timestamp as `2026-01-02T03:04:05.123456Z`; moments outside ``range`` are moved to its ends.
    package static func format(_ microseconds: Int64) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(27)
        append(microseconds, to: &output)
        return output
    }

    /// What ``format(_:)`` returns, as a string.
    package static func text(_ microseconds: Int64) -> String {
        String(decoding: format(microseconds), as: UTF8.self)
    }

    /// Appends what ``format(_:)`` returns.
    package static func append(_ microseconds: Int64, to output: inout [UInt8]) {
        let value = min(max(microseconds, range.lowerBound), range.upperBound)
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: microsecondsPerDay)
        let dayNumber = remainder < 0 ? quotient - 1 : quotient
        let inDay = remainder < 0 ? remainder + microsecondsPerDay : remainder
        let (year, month, day) = date(dayNumber)
        appendDigits(year, 4, UInt8(ascii: "-"), to: &output)
        appendDigits(month, 2, UInt8(ascii: "-"), to: &output)
        appendDigits(day, 2, UInt8(ascii: "T"), to: &output)
        appendDigits(inDay / 3_600_000_000, 2, .colon, to: &output)
        appendDigits(inDay / 60_000_000 % 60, 2, .colon, to: &output)
        appendDigits(inDay / 1_000_000 % 60, 2, UInt8(ascii: "."), to: &output)
        appendDigits(inDay % 1_000_000, 6, UInt8(ascii: "Z"), to: &output)
    }

    private static func number(_ text: Span<UInt8>, _ start: Int, _ count: Int) -> Int64? {
        var value: Int64 = 0
        for index in start..<start + count {
            guard text[index].isDigit else { return nil }
            value = value * 10 + Int64(text[index] &- UInt8(ascii: "0"))
        }
        return value
    }

    /// Reads an optional fraction into microseconds, `index` moved behind it.
    private static func fraction(_ text: Span<UInt8>, _ index: inout Int) -> Int64? {
        guard text.byte(at: index) == UInt8(ascii: ".") else { return 0 }
        index += 1
        let start = index
        var value: Int64 = 0
        var scale: Int64 = 100_000
        while text.byte(at: index).isDigit {
            value += Int64(text[index] &- UInt8(ascii: "0")) * scale
            scale /= 10
            index += 1
        }
        return index > start ? value : nil
    }

    /// The offset from UTC in minutes, which must end the text.
    private static func offset(_ text: Span<UInt8>, from index: Int) -> Int64? {
        let sign = text.byte(at: index)
        if sign | 0x20 == UInt8(ascii: "z") { return index + 1 == text.count ? 0 : nil }
        guard sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-"), index + 6 == text.count else {
            return nil
        }
        guard let hours = number(text, index + 1, 2), text[index + 3] == .colon,
            let minutes = number(text, index + 4, 2), hours <= 23, minutes <= 59
        else { return nil }
        let total = hours * 60 + minutes
        return sign == UInt8(ascii: "-") ? -total : total
    }

    private static func days(in month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days since 1970-01-01, counted in years that begin in March so that the leap day is the last.
    private static func dayNumber(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let marchYear = month > 2 ? year : year - 1
        let era = marchYear / 400
        let yearOfEra = marchYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// The date of a day since 1970-01-01; the reverse of ``dayNumber(_:_:_:)``.
    private static func date(_ dayNumber: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let days = dayNumber + 719_468
        let era = days / 146_097
        let dayOfEra = days - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
    }

    private static func appendDigits(_ value: Int64, _ count: Int, _ end: UInt8, to output: inout [UInt8]) {
        var divisor: Int64 = 1
        for _ in 1..<count { divisor *= 10 }
        while divisor > 0 {
            output.append(UInt8(ascii: "0") + UInt8(value / divisor % 10))
            divisor /= 10
        }
        output.append(end)
    }
}
