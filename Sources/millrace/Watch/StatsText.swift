import Events

/// The statistics of a server as lines for people.
///
/// Pure: what `/v1/stats` answered goes in, lines come out; what is missing there is a dash.
struct StatsText {
    private let answer: Members

    init(_ answer: [String: JSONValue]) { self.answer = Members(answer) }

    /// All that there is to say; at most `typesMax` types, and no line longer than `columns`.
    func lines(columns: Int = .max, typesMax: Int = 10) -> [String] {
        let blocks = [totals, rates, latency, analytics, database] + workers
        return (blocks + types(max: typesMax)).map { String($0.prefix(columns)) }
    }

    /// The same in one line, for logs.
    var line: String {
        let totals = answer["totals"]
        let parts = [
            "\(answer["rates"].number("1s"))/s", "received \(totals.count("received"))",
            "stored \(totals.count("stored"))", "duplicates \(totals.count("duplicates"))",
            "rejected \(totals.count("rejected"))", "spooled \(totals.count("spooled"))",
            "p99 \(answer["latency"].number("p99_ms")) ms",
            "behind \(answer["analytics"].number("lag_s")) s",
            "database \(answer["database"].text("state"))",
        ]
        return parts.joined(separator: "  ")
    }

    private var totals: String {
        let totals = answer["totals"]
        let names = ["received", "stored", "duplicates", "rejected", "spooled", "shed"]
        return "events     " + names.map { "\($0) \(totals.count($0))" }.joined(separator: "   ")
    }

    private var rates: String {
        let rates = answer["rates"]
        let windows = [("1s", "now"), ("1m", "1 min"), ("5m", "5 min"), ("15m", "15 min")]
        return "rate       " + windows.map { "\(rates.number($0.0))/s \($0.1)" }.joined(separator: "   ")
    }

    private var latency: String {
        let latency = answer["latency"]
        let quantiles = ["p50", "p90", "p99"].map { "\($0) \(latency.number("\($0)_ms")) ms" }
        return "latency    " + quantiles.joined(separator: "   ")
            + "   of \(latency.count("requests")) requests in \(latency.count("window_s")) s"
    }

    private var analytics: String {
        let analytics = answer["analytics"]
        let jobs = analytics["jobs"]
        let states = ["ready", "leased", "scheduled", "dead"].map { "\(jobs.count($0)) \($0)" }
        let behind = "\(analytics.number("lag_s")) s behind, \(analytics.count("lag_events")) events"
        return "analytics  \(behind)   jobs: " + states.joined(separator: ", ")
    }

    private var database: String {
        let (database, spool) = (answer["database"], answer["spool"])
        let stale = database.has("stale_s") ? ", figures \(database.number("stale_s")) s old" : ""
        let place =
            "\(database.text("state")) (\(database.text("kind")), \(database.text("version"))\(stale))"
        return
            "database   \(place)   spool: \(spool.count("events")) events, breaker \(spool.text("breaker"))"
    }

    private var workers: [String] {
        answer.list("workers").map { worker in
            let job = worker.has("kind") ? " \(worker.text("kind")) for \(worker.number("job_age_s")) s" : ""
            return "worker \(worker.count("slot").leftPadded(to: 2))  \(worker.text("state"))\(job)   "
                + "\(worker.count("jobs_done")) jobs done, \(worker.count("restarts")) restarts, "
                + "\(worker.megabytes("rss_bytes")) MB"
        }
    }

    private func types(max count: Int) -> [String] {
        let types = answer.list("types").prefix(count)
        if types.isEmpty { return [] }
        let all = answer.list("types").reduce(0) { $0 + ($1.value("count") ?? 0) }
        let names = types.map { type in
            // It is a client's: a control character would do something to the terminal.
            String(type.text("type").map { $0.isPrintable ? $0 : "?" })
        }
        let width = min(40, names.map(\.count).max() ?? 0)
        let lines = zip(names, types).map { name, type in
            let share = all > 0 ? (type.value("count") ?? 0) / all * 100 : 0
            return
                "  \(String(name.prefix(width)).padded(to: width))  \(type.count("count").leftPadded(to: 15))"
                + "  \(Members.rounded(share).leftPadded(to: 5)) %"
        }
        return ["types      the most frequent of \(answer.count("types_count"))"] + lines
    }
}

/// Members of a JSON object, as words.
private struct Members {
    private let members: [String: JSONValue]

    init(_ members: [String: JSONValue]) { self.members = members }

    subscript(name: String) -> Members { Members(members[name]?.object ?? [:]) }

    func list(_ name: String) -> [Members] {
        guard case .array(let values)? = members[name] else { return [] }
        return values.compactMap { $0.object.map(Members.init) }
    }

    func has(_ name: String) -> Bool { members[name].map { $0 != .null } ?? false }

    func text(_ name: String) -> String { members[name]?.string ?? "-" }

    func value(_ name: String) -> Double? {
        switch members[name] {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    /// A whole number with its thousands apart.
    func count(_ name: String) -> String {
        members[name]?.integer.map { SendTotals.grouped(Int($0)) } ?? "-"
    }

    /// With a fraction only where it says something.
    func number(_ name: String) -> String { value(name).map(Self.rounded) ?? "-" }

    func megabytes(_ name: String) -> String { value(name).map { Self.rounded($0 / 1e6) } ?? "-" }

    static func rounded(_ value: Double) -> String {
        if value >= 100 { return SendTotals.grouped(Int(value.rounded())) }
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
    }
}

extension Character {
    /// Whether a terminal only shows it.
    fileprivate var isPrintable: Bool {
        unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .surrogate, .lineSeparator, .paragraphSeparator: false
            default: true
            }
        }
    }
}
