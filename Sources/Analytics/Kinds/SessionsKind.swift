/// What the sessions of subjects are like: a session ends when nothing is heard of its subject for longer
/// than `gap`.
///
/// Only the subjects whose session may still go on are held, three words each; they go when room is needed.
/// An event costs O(1), amortised. When more subjects than fit are in a session at once, half of them are
/// left out, and what counts is the rest, as often as one of them stands for; see ``SubjectTable``.
/// Sessions that are not over at the end of the range count as they are, and are counted in `open`.
package struct SessionsKind: AnalysisKind {
    package static let name = "sessions"
    package static let note = "How many sessions there were, how long, and how many of a single event."
    package static let parameters = [
        Parameter.types,
        Parameter(
            "gap",
            .duration(1_000...31_536_000_000_000),
            .standard("30m"),
            "The longest time between two events of one session."
        ),
    ]

    private struct State: Sendable {
        var start: Int64
        var last: Int64
        var events: Int64 = 1
    }

    private let gap: Int64
    package let needs: AnalysisNeeds
    private var going: SubjectTable<State>
    private var tally = Tally()
    private var subjects = HyperLogLog()
    private var withoutSubject: Int64 = 0

    /// What sessions have come to.
    private struct Tally: Sendable {
        var sessions: Int64 = 0
        var bounces: Int64 = 0
        var events = QuantileSketch()
        var seconds = QuantileSketch()

        mutating func add(_ state: State, weight: Int64) {
            sessions += weight
            if state.events == 1 { bounces += weight }
            events.insert(Double(state.events), times: weight)
            seconds.insert(Double(state.last - state.start) / 1_000_000, times: weight)
        }
    }

    package init(_ parameters: Parameters, limits: AnalysisLimits) throws(ParameterError) {
        gap = parameters.duration("gap") ?? 0
        needs = parameters.needs()
        going = SubjectTable(bytesMax: limits.subjectBytesMax)
    }

    package mutating func add(_ event: AnalysisEvent) {
        guard let subject = event.subjectHash else {
            withoutSubject += 1
            return
        }
        subjects.insert(hash: subject)
        guard going.isInSample(subject) else { return }
        guard let position = going.position(of: subject) else {
            if going.isFull { endSessions(before: event.time) }
            _ = going.insert(subject, State(start: event.time, last: event.time))
            return
        }
        if event.time - going.states[position].last > gap {
            tally.add(going.states[position], weight: going.weight)
            going.states[position] = State(start: event.time, last: event.time)
        } else {
            going.states[position].last = event.time
            going.states[position].events += 1
        }
    }

    /// Makes room, if it is a quarter at least, so that this pass over all is paid for by the events until
    /// the next.
    ///
    /// Else the table halves its sample.
    private mutating func endSessions(before time: Int64) {
        let over = going.states.count { time - $0.last > gap }
        if over < going.capacity / 4 { return }
        let weight = going.weight
        var tally = tally
        going.retain { _, state in
            if time - state.last <= gap { return true }
            tally.add(state, weight: weight)
            return false
        }
        self.tally = tally
    }

    package func result() -> AnalysisValue {
        var tally = tally
        var open: Int64 = 0
        for state in going.states {
            tally.add(state, weight: going.weight)
            if needs.range.upperBound - state.last <= gap { open += going.weight }
        }
        let bounceShare = tally.sessions == 0 ? nil : Double(tally.bounces) / Double(tally.sessions)
        return [
            "sessions": .integer(tally.sessions),
            "open": .integer(open),
            "bounces": .integer(tally.bounces),
            "bounce_share": .optional(bounceShare),
            "subjects": .integer(Int64(subjects.estimate)),
            "subjects_standard_error": .number(subjects.standardError),
            "events_per_session": Distribution.value(of: tally.events),
            "seconds": Distribution.value(of: tally.seconds),
            "without_subject": .integer(withoutSubject),
            "sample": ["rate": .number(1 / Double(going.weight))],
            "truncated": false,
            "exact": .flag(going.level == 0),
        ]
    }
}
