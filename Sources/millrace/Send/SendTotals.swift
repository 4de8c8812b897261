/// What became of the events that were read; adds up whenever nothing is under way.
struct SendTotals: Equatable, Sendable {
    var read = 0
    var stored = 0
    var duplicates = 0
    var rejected = 0
    /// Nobody knows of them: refused as a whole, or given up.
    var unacknowledged = 0
    /// Of the stored, those that were in the server's spool when it answered.
    var spooled = 0

    var isComplete: Bool { read == stored + duplicates + rejected + unacknowledged }

    /// Those that the server has answered for.
    var acknowledged: Int { stored + duplicates + rejected }

    mutating func add(_ answer: SendAnswer) {
        stored += answer.stored
        duplicates += answer.duplicates
        rejected += answer.rejected
        spooled += answer.spooled
    }

    /// The line on standard output.
    func summary(after duration: Duration) -> String {
        let line = "\(Self.grouped(read)) events: \(outcomes)"
        let seconds = duration.components.seconds
        let tenths = duration.components.attoseconds / 100_000_000_000_000_000
        return line + " (\(seconds).\(tenths) s, \(Self.grouped(rate(over: duration))) events/s)"
    }

    private var outcomes: String {
        var parts = ["\(Self.grouped(stored)) stored", "\(Self.grouped(duplicates)) duplicates"]
        if spooled > 0 { parts[0] += " (\(Self.grouped(spooled)) in the server's spool)" }
        parts.append("\(Self.grouped(rejected)) rejected")
        if unacknowledged > 0 { parts.append("\(Self.grouped(unacknowledged)) not acknowledged") }
        return parts.joined(separator: ", ")
    }

    private func rate(over duration: Duration) -> Int {
        let seconds = duration / .seconds(1)
        return seconds > 0 ? Int((Double(read - unacknowledged) / seconds).rounded()) : 0
    }

    /// Digits in groups of three.
    static func grouped(_ number: Int) -> String {
        let digits = Array(String(number))
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index).isMultiple(of: 3), digits[index - 1] != "-" { text += "," }
            text.append(digit)
        }
        return text
    }
}
