extension AnalysisValue {
    /// A time as RFC 3339 in UTC, from microseconds since 1970; with as many digits of a second as are
    /// needed.
    static func time(_ microseconds: Int64) -> AnalysisValue {
        let day = (microseconds / 86_400_000_000) - (microseconds % 86_400_000_000 < 0 ? 1 : 0)
        let rest = microseconds - day * 86_400_000_000
        let (year, month, dayOfMonth) = civil(day)
        let second = rest / 1_000_000
        var text = "\(padded(year, 4))-\(padded(month, 2))-\(padded(dayOfMonth, 2))T"
        text += "\(padded(second / 3_600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2))"
        var fraction = rest % 1_000_000
        if fraction != 0 {
            var digits = 6
            while fraction.isMultiple(of: 10) { (fraction, digits) = (fraction / 10, digits - 1) }
            text += ".\(padded(fraction, digits))"
        }
        return .text(text + "Z")
    }

    private static func padded(_ number: Int64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }

    /// The date of a day counted from 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
    /// civil_from_days), for years from 0.
    private static func civil(_ day: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = day + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }
}
