/// What is shown while events are being sent.
struct SendProgress: Equatable, Sendable {
    var totals: SendTotals
    /// How much of the inputs has been read, from 0 to 1; `nil` when nobody knows how much there is.
    var fraction: Double?
    var eventsPerSecond: Int
    var timeLeft: Duration?

    /// One line with a bar, in less than `columns` characters.
    ///
    /// A full line would move a terminal's cursor to the next. What fits not is left out, the least important
    /// first.
    func line(columns: Int) -> String {
        let texts = layouts.map { $0.compactMap { $0 }.joined(separator: "  ") }
        return texts.first { $0.count < columns } ?? String((texts.last ?? "").prefix(max(0, columns - 1)))
    }

    /// From the fullest to the barest.
    private var layouts: [[String?]] {
        let events: String? = "\(SendTotals.grouped(totals.acknowledged)) events"
        let main = [percent, events, rate, left]
        let fullest: [String?] = [bar(width: 30)] + main + [troubles]
        let bare: [[String?]] = [[percent, rate, left], [percent ?? events, left], [percent ?? events]]
        return [fullest, [bar(width: 30)] + main, [bar(width: 10)] + main, main] + bare
    }

    /// The same for a log: in full, and without a bar.
    var sentence: String {
        let events = "\(SendTotals.grouped(totals.acknowledged)) events acknowledged"
        let parts = [percent, events, rate, left, troubles].compactMap { $0 }
        return String(parts.joined(separator: ", ").trimmingPrefix(" "))
    }

    private func bar(width: Int) -> String? {
        guard let fraction else { return nil }
        let done = Int(Double(width) * fraction)
        let head = done < width ? ">" : ""
        return "[" + (String(repeating: "=", count: done) + head).padded(to: width) + "]"
    }

    private var percent: String? { fraction.map { "\(Int($0 * 100))".leftPadded(to: 3) + " %" } }
    private var rate: String? { "\(SendTotals.grouped(eventsPerSecond))/s" }
    private var left: String? { timeLeft.map { "\(Self.clock($0)) left" } }

    private var troubles: String? {
        let counts = [
            (totals.duplicates, "duplicates"), (totals.rejected, "rejected"),
            (totals.unacknowledged, "not acknowledged"),
        ]
        let parts = counts.filter { $0.0 > 0 }.map { "\(SendTotals.grouped($0.0)) \($0.1)" }
        return parts.isEmpty ? nil : parts.joined(separator: ", ")
    }

    /// Minutes and seconds, with hours where there are some; rounded up, so that 0:00 is the end.
    static func clock(_ duration: Duration) -> String {
        let (whole, fraction) = duration.components
        let seconds = whole + (fraction > 0 ? 1 : 0)
        if seconds >= 360_000 { return "more than 100 hours" }
        let (minutes, rest) = (seconds / 60 % 60, seconds % 60)
        let tail = rest < 10 ? "0\(rest)" : "\(rest)"
        if seconds < 3_600 { return "\(minutes):\(tail)" }
        return "\(seconds / 3_600):" + (minutes < 10 ? "0" : "") + "\(minutes):\(tail)"
    }
}

extension String {
    func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - count))
    }

    func leftPadded(to width: Int) -> String {
        String(repeating: " ", count: max(0, width - count)) + self
    }
}
