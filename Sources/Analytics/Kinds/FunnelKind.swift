/// How many subjects take a series of steps, in their order and within a time.
///
/// A subject has reached step k when events of its own of the types 1 … k follow each other (others may lie
/// between) and the last is at most `window` after the first. Of all ways to get there the best counts. One
/// event is one step at most, also where a type is named twice.
///
/// For every step it is enough to know the latest start of a way that has got there: any later event that
/// an earlier start would still allow, this one allows too. So an event costs O(steps), a subject O(steps)
/// bytes.
///
/// When the subjects' bound is reached the counts are estimates, see ``SubjectTable``; segments beyond
/// their bound are counted together.
package struct FunnelKind: AnalysisKind {
    package static let name = "funnel"
    package static let note = "How many subjects take a series of steps, in their order and within a time."
    package static let parameters = [
        Parameter(
            "steps",
            .list(of: .text(bytesMax: 255), 1...AnalysisLimits.stepsMax),
            .required,
            "The types of the steps, in their order."
        ),
        Parameter(
            "window",
            .duration(1_000...31_536_000_000_000),
            .standard("7d"),
            "The longest time from the first step to the last."
        ),
        Parameter(
            "segment",
            .part,
            .optional,
            "What to tell subjects apart by, in the event of their first step."
        ),
    ]

    /// What is known of a subject that has taken the first step.
    private struct State: Sendable {
        /// For each step, the latest start of a way that has reached it.
        var starts = [16 of Int64](repeating: Self.none)
        var reached = 0
        /// From the first step to the last, when it was reached first.
        var took = Self.none
        let segment: Int

        static let none = Int64.min
    }

    private let steps: [String]
    private let stepHashes: [UInt64]
    private let window: Int64
    private let segment: EventPart?
    package let needs: AnalysisNeeds
    private var subjects: SubjectTable<State>
    private var segments: GroupTable
    private var withoutSubject: Int64 = 0

    package init(_ parameters: Parameters, limits: AnalysisLimits) throws(ParameterError) {
        steps = parameters.texts("steps")
        stepHashes = steps.map { hash64($0.utf8.span) }
        window = parameters.duration("window") ?? 0
        var fields: [String] = []
        segment = parameters.part("segment", fields: &fields)
        var types: [String] = []
        for step in steps where !types.contains(where: { $0.utf8.elementsEqual(step.utf8) }) {
            types.append(step)
        }
        needs = parameters.needs(types: types, fields: fields)
        subjects = SubjectTable(bytesMax: limits.subjectBytesMax)
        segments = GroupTable(capacity: limits.groupsMax, valueBytesMax: limits.valueBytesMax)
    }

    package mutating func add(_ event: AnalysisEvent) {
        guard let subject = event.subjectHash else {
            withoutSubject += 1
            return
        }
        let type = hash64(event.type.utf8.span)
        var position = subjects.position(of: subject)
        if position == nil, type == stepHashes[0], subjects.isInSample(subject) {
            let segment = segments.number(of: segment?.value(of: event))
            position = subjects.insert(subject, State(segment: segment))
        }
        guard let position else { return }
        // From the last step on, so that the event does not follow itself.
        for step in stride(from: steps.count - 1, through: 0, by: -1) where stepHashes[step] == type {
            take(step, at: event.time, position)
        }
    }

    private mutating func take(_ step: Int, at time: Int64, _ position: Int) {
        let start = step == 0 ? time : subjects.states[position].starts[step - 1]
        if start == State.none || time - start > window { return }
        subjects.states[position].starts[step] = start
        if subjects.states[position].reached > step { return }
        subjects.states[position].reached = step + 1
        if step == steps.count - 1 { subjects.states[position].took = time - start }
    }

    // MARK: Result

    package func result() -> AnalysisValue {
        let nobody = [Int64](repeating: 0, count: steps.count)
        var all = nobody
        var bySegment: [Int: [Int64]] = [:]
        var times = QuantileSketch()
        for state in subjects.states {
            for step in 0..<state.reached {
                all[step] += subjects.weight
                bySegment[state.segment, default: nobody][step] += subjects.weight
            }
            if state.took != State.none { times.insert(Double(state.took) / 1_000_000) }
        }
        let isTruncated = bySegment[GroupTable.others] != nil
        return [
            "steps": .list(steps.indices.map { row(of: $0, all) }),
            "seconds": Distribution.value(of: times),
            "segments": segment == nil ? .null : .list(segmentRows(bySegment)),
            "without_subject": .integer(withoutSubject),
            "sample": subjects.sample,
            "truncated": .flag(isTruncated),
            "exact": .flag(subjects.level == 0 && !isTruncated),
        ]
    }

    private func row(of step: Int, _ counts: [Int64]) -> AnalysisValue {
        [
            "type": .text(steps[step]),
            "subjects": .integer(counts[step]),
            "share": Self.share(counts[step], of: counts[0]),
            "share_of_previous": Self.share(counts[step], of: counts[max(step - 1, 0)]),
        ]
    }

    private static func share(_ count: Int64, of whole: Int64) -> AnalysisValue {
        whole == 0 ? .null : .number(Double(count) / Double(whole))
    }

    /// In the order in which the segments came; then subjects without one, then those of all other segments.
    private func segmentRows(_ bySegment: [Int: [Int64]]) -> [AnalysisValue] {
        let numbers = Array(segments.values.indices) + [GroupTable.absent, GroupTable.others]
        return numbers.compactMap { number in
            guard let counts = bySegment[number] else { return nil }
            var row: [String: AnalysisValue] = ["subjects": .list(counts.map { .integer($0) })]
            switch number {
            case GroupTable.absent: row["segment"] = .null
            case GroupTable.others: row["others"] = true
            default: row["segment"] = segments.values[number].value
            }
            return .object(row)
        }
    }
}

/// What a result says of many numbers.
enum Distribution {
    /// Mean and greatest are exact, quantiles within 1 %; null where there are no numbers.
    static func value(of sketch: QuantileSketch) -> AnalysisValue {
        if sketch.isEmpty { return .null }
        return [
            "mean": .optional(sketch.mean),
            "p50": .optional(sketch.quantile(0.5)),
            "p90": .optional(sketch.quantile(0.9)),
            "p99": .optional(sketch.quantile(0.99)),
            "max": .optional(sketch.max),
        ]
    }
}
