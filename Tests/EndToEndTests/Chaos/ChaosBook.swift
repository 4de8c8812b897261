import Synchronization

/// All that a round has sent, and what it was answered: written down before anything else is sent.
///
/// A value without I/O, so that it can be tested that it finds what is wrong (``ChaosBookTests``).
struct ChaosBook: Sendable {
    struct Entry: Sendable {
        let event: ChaosEvent
        /// Copies that were given to a connection, whatever became of them.
        var sends = 0
        /// Copies that were acknowledged.
        var acks = 0
        /// Whether one of them said what had become of it, rather than that it lies in a spool.
        var isDecided = false
        /// Numbers of requests.
        var requests: [Int] = []
    }

    struct Request: Sendable {
        let title: String
        let began: Duration
        let marks: [String]
        /// Events among them that were known to be stored before this request began.
        let knownBefore: Int
        /// Copies of an event that the request itself has sent before.
        let repetitions: Int
        var acknowledged = 0
        var outcome = "no answer"
    }

    private(set) var entries: [String: Entry] = [:]
    private(set) var requests: [Request] = []
    /// What was wrong when it was answered.
    private(set) var complaints: [String] = []
    /// The sum of the answers.
    private var duplicatesAnswered = 0
    private var unanswered: Set<Int> = []
    /// Whole answers.
    private(set) var answers = 0

    mutating func complain(_ text: String) { complaints.append(text) }

    // MARK: Requests

    /// Writes down what is about to be sent; returns the request's number.
    mutating func begin(_ title: String, _ events: [ChaosEvent], at began: Duration) -> Int {
        let number = requests.count
        var seen: Set<String> = []
        var (known, repetitions) = (0, 0)
        for event in events {
            var entry = entries[event.mark] ?? Entry(event: event)
            if seen.insert(event.mark).inserted {
                if entry.isDecided, Self.canRepeat(event) { known += 1 }
                entry.requests.append(number)
            } else {
                repetitions += 1
            }
            entry.sends += 1
            entries[event.mark] = entry
        }
        requests.append(
            Request(
                title: title,
                began: began,
                marks: events.map(\.mark),
                knownBefore: known,
                repetitions: repetitions
            )
        )
        unanswered.insert(number)
        return number
    }

    /// Writes down that the first `count` events of a request are acknowledged.
    mutating func acknowledge(_ number: Int, upTo count: Int) {
        let marks = requests[number].marks
        guard count <= marks.count else {
            complain("\(name(number)): \(count) events acknowledged of \(marks.count)")
            return
        }
        for mark in marks[min(requests[number].acknowledged, count)..<count] { entries[mark]?.acks += 1 }
        requests[number].acknowledged = max(count, requests[number].acknowledged)
    }

    /// Writes down an answer about the whole request, which acknowledges it, and holds its counts against
    /// what was sent.
    mutating func answer(_ number: Int, _ answer: IngestAnswer) {
        let request = requests[number]
        requests[number].outcome =
            "stored \(answer.stored), duplicates \(answer.duplicates), rejected \(answer.rejected)"
            + " (\(answer.durability))"
        let events = request.marks.compactMap { entries[$0]?.event }
        answers += 1
        acknowledge(number, upTo: events.count)
        // Of what lies in a spool nobody knows yet whether it is new.
        let isDecided = answer.durability == "committed"
        var wrong: [String] = []
        if answer.received != events.count { wrong.append("received") }
        if answer.received != answer.stored + answer.duplicates + answer.rejected { wrong.append("the sum") }
        if answer.rejected != events.count(where: { !$0.isValid }) { wrong.append("rejected") }
        let duplicates = duplicatesAllowed(number)
        if isDecided, !duplicates.contains(answer.duplicates) {
            wrong.append("duplicates, which may be \(duplicates)")
        }
        for what in wrong { complain("\(name(number)): wrong is \(what)") }
        if isDecided {
            unanswered.remove(number)
            duplicatesAnswered += answer.duplicates
            for mark in request.marks { entries[mark]?.isDecided = true }
        }
    }

    /// Writes down why there is no answer about the whole.
    mutating func giveUp(_ number: Int, _ reason: String) { requests[number].outcome = reason }

    /// How many of the request's events may be duplicates: at least those that were known to be stored, at
    /// most those that were also sent otherwise.
    private func duplicatesAllowed(_ number: Int) -> ClosedRange<Int> {
        let request = requests[number]
        var (own, possible) = ([String: Int](), 0)
        for mark in request.marks { own[mark, default: 0] += 1 }
        for (mark, copies) in own {
            guard let entry = entries[mark], Self.canRepeat(entry.event) else { continue }
            if entry.sends > copies { possible += 1 }
        }
        let least = request.knownBefore + request.repetitions
        return least...max(least, possible + request.repetitions)
    }

    private func name(_ number: Int) -> String {
        let request = requests[number]
        return "request \(number) (\(request.began.seconds) s, \(request.title), \(request.marks.count)"
            + " events, \(request.acknowledged) acknowledged): \(request.outcome)"
    }

    // MARK: The end

    /// What the database and the service say when all is over.
    struct Facts: Sendable {
        /// Rows of `events` by mark.
        var rows: [String: Int] = [:]
        /// Rows of `rejects` by mark.
        var rejects: [String: Int] = [:]
        var totals = Stats.Totals(received: 0, stored: 0, duplicates: 0, rejected: 0)
    }

    /// Whatever of the facts is not as it was promised, each with the history of the event.
    func findings(_ facts: Facts) -> [String] {
        var findings = complaints
        for (mark, entry) in entries.sorted(by: { $0.key < $1.key }) {
            let (rows, rejects) = (facts.rows[mark] ?? 0, facts.rejects[mark] ?? 0)
            let copies = entry.acks...entry.sends
            let event = entry.event
            let (rowsAllowed, rejectsAllowed) =
                !event.isValid
                ? (0...0, copies) : (event.hasIdentity ? min(entry.acks, 1)...1 : copies, 0...0)
            if !rowsAllowed.contains(rows) {
                findings.append("\(history(entry)): \(rows) rows, which may be \(rowsAllowed)")
            }
            if !rejectsAllowed.contains(rejects) {
                findings.append("\(history(entry)): \(rejects) rejects, which may be \(rejectsAllowed)")
            }
        }
        let sent = Set(entries.keys)
        let strange = Set(facts.rows.keys).union(facts.rejects.keys).subtracting(sent)
        if !strange.isEmpty { findings.append("never sent and there: \(strange.sorted().prefix(5))") }
        return findings + totalsFindings(facts)
    }

    private func totalsFindings(_ facts: Facts) -> [String] {
        let totals = facts.totals
        let stored = facts.rows.values.reduce(0, +)
        let rejected = facts.rejects.values.reduce(0, +)
        let duplicates = duplicatesAnswered...max(duplicatesAnswered, duplicatesMax(facts))
        var findings: [String] = []
        if totals.stored != stored { findings.append("totals: \(totals.stored) stored, \(stored) rows") }
        if totals.rejected != rejected {
            findings.append("totals: \(totals.rejected) rejected, \(rejected) rejects")
        }
        if totals.received != totals.stored + totals.duplicates + totals.rejected {
            findings.append("totals do not add up: \(totals)")
        }
        if !duplicates.contains(totals.duplicates) {
            findings.append("totals: \(totals.duplicates) duplicates, which may be \(duplicates)")
        }
        return findings
    }

    /// Nobody has heard how many duplicates the unanswered had; but no copy is counted that was not sent, and
    /// one of each event is the row.
    private func duplicatesMax(_ facts: Facts) -> Int {
        var open = 0
        for number in unanswered {
            open += requests[number].marks.count { entries[$0].map { Self.canRepeat($0.event) } ?? false }
        }
        var copies = 0
        for (mark, entry) in entries where Self.canRepeat(entry.event) {
            copies += entry.sends - min(facts.rows[mark] ?? 0, 1)
        }
        return min(duplicatesAnswered + open, copies)
    }

    private static func canRepeat(_ event: ChaosEvent) -> Bool { event.isValid && event.hasIdentity }

    private func history(_ entry: Entry) -> String {
        let event = entry.event
        let requests = entry.requests.map { "\n        \(name($0))" }.joined()
        return "\(event.mark) (\(event.identity), \(event.isValid ? "valid" : "invalid"), sent"
            + " \(entry.sends), acknowledged \(entry.acks))\(requests)\n       "
    }

    /// One line about how much it was.
    var summary: String {
        let acknowledged = entries.values.count { $0.acks > 0 }
        return "\(entries.count) events, \(acknowledged) acknowledged, \(requests.count) requests,"
            + " \(unanswered.count) unanswered"
    }
}

/// The book of a round, for all of its senders.
final class ChaosLedger: Sendable {
    private let book = Mutex(ChaosBook())

    var current: ChaosBook { book.withLock { $0 } }
    var answers: Int { book.withLock { $0.answers } }

    func begin(_ title: String, _ events: [ChaosEvent], at began: Duration) -> Int {
        book.withLock { $0.begin(title, events, at: began) }
    }

    func acknowledge(_ number: Int, upTo count: Int) { book.withLock { $0.acknowledge(number, upTo: count) } }
    func answer(_ number: Int, _ answer: IngestAnswer) { book.withLock { $0.answer(number, answer) } }
    func giveUp(_ number: Int, _ reason: String) { book.withLock { $0.giveUp(number, reason) } }
    func complain(_ text: String) { book.withLock { $0.complain(text) } }
}
