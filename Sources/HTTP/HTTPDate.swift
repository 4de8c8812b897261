/// A moment as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT` (IMF-fixdate, RFC 9110 5.6.7).
package struct HTTPDate: Equatable, Sendable {
    /// Of the years 1970 to 9999; what is outside is moved to the border.
    package let secondsSince1970: Int64

    private static let secondsMax: Int64 = 253_402_300_799

    /// The date of a Unix time.
    package init(secondsSince1970: Int64) {
        self.secondsSince1970 = min(max(secondsSince1970, 0), Self.secondsMax)
    }

    /// Its 29 bytes.
    package var bytes: [UInt8] {
        let days = Int(secondsSince1970 / 86_400)
        let second = Int(secondsSince1970 % 86_400)
        let (year, month, day) = Self.civil(days)
        var output: [UInt8] = []
        output.reserveCapacity(29)
        // 1970-01-01 was a Thursday.
        output.append(contentsOf: Self.weekdays[(days + 4) % 7].utf8)
        output.append(contentsOf: ", ".utf8)
        output.appendPadded(day, digits: 2)
        output.append(.space)
        output.append(contentsOf: Self.months[month - 1].utf8)
        output.append(.space)
        output.appendPadded(year, digits: 4)
        output.append(.space)
        output.appendPadded(second / 3600, digits: 2)
        output.append(.colon)
        output.appendPadded(second / 60 % 60, digits: 2)
        output.append(.colon)
        output.appendPadded(second % 60, digits: 2)
        output.append(contentsOf: " GMT".utf8)
        return output
    }

    private static let weekdays: InlineArray<7, String> = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months: InlineArray<12, String> = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// Counts years from March, so that the leap day is a year's last, in eras of 400 years (146,097 days).
    private static func civil(_ days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468  // days since 0000-03-01
        let (era, dayOfEra) = (shifted / 146_097, shifted % 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    }
}
