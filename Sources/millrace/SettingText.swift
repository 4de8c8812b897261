/// Reads the values of settings as people write them; `nil` for what is none.
enum SettingText {
    /// A whole number within `range`, digits only.
    static func count(_ text: String, in range: ClosedRange<Int>) -> Int? {
        guard let value = digits(text[...]), range.contains(value) else { return nil }
        return value
    }

    /// Bytes: `16777216`, `16MiB`, `16M`, `512k`; every unit is a power of 1,024.
    static func bytes(_ text: String) -> Int? {
        let number = text.prefix { $0.isNumber }
        let unit = text[number.endIndex...].drop { $0 == " " }.lowercased()
        guard let value = digits(number) else { return nil }
        let shift: Int
        switch unit {
        case "", "b": shift = 0
        case "k", "kb", "kib": shift = 10
        case "m", "mb", "mib": shift = 20
        case "g", "gb", "gib": shift = 30
        default: return nil
        }
        let (bytes, isTooLarge) = value.multipliedReportingOverflow(by: 1 << shift)
        return isTooLarge || bytes == 0 ? nil : bytes
    }

    /// A duration of a day at most: `30s`, `2m`, `1h`, `500ms`; seconds without a unit.
    static func duration(_ text: String) -> Duration? {
        let number = text.prefix { $0.isNumber }
        let unit = text[number.endIndex...].drop { $0 == " " }
        guard let value = digits(number), value <= 86_400_000 else { return nil }
        let duration: Duration
        switch unit {
        case "ms": duration = .milliseconds(value)
        case "", "s": duration = .seconds(value)
        case "m": duration = .seconds(value * 60)
        case "h": duration = .seconds(value * 3_600)
        default: return nil
        }
        return duration <= .seconds(86_400) ? duration : nil
    }

    /// A switch outside the command line.
    static func yesOrNo(_ text: String) -> Bool? {
        switch text.lowercased() {
        case "yes", "true", "on", "1": true
        case "no", "false", "off", "0": false
        default: nil
        }
    }

    /// Int(_:) would take a sign as well.
    private static func digits(_ text: Substring) -> Int? {
        !text.isEmpty && text.utf8.allSatisfy { 0x30...0x39 ~= $0 } ? Int(text) : nil
    }
}
