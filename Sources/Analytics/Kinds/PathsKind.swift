/// The most frequent sequences of types that subjects go through.
///
/// Each run of `length` events of one subject, with no longer pause than `gap`, is one occurrence of the
/// sequence of their types; runs overlap. With `collapse`, the same type again right after itself is no
/// step.
///
/// Held are a subject's last types (sixteen bytes) while its run may go on, and the counters of
/// ``HeavyHitters``, whose bounds hold for the counts. An event costs O(log counters), amortised. When more
/// subjects than fit are on a path at once, half of them are left out and the rest counts for them, see
/// ``SubjectTable``. Types beyond their bound are one type, the other, shown as null.
package struct PathsKind: AnalysisKind {
    package static let name = "paths"
    package static let note = "The most frequent sequences of types that subjects go through."
    package static let parameters = [
        Parameter.types,
        Parameter(
            "length",
            .integer(2...Int64(AnalysisLimits.pathLengthMax)),
            .standard(3),
            "Types of a path."
        ),
        Parameter(
            "gap",
            .duration(1_000...31_536_000_000_000),
            .standard("30m"),
            "The longest time between two events of one path."
        ),
        Parameter("collapse", .flag, .standard(true), "Whether a type that repeats itself is one step."),
        Parameter(
            "limit",
            .integer(1...Int64(AnalysisLimits.rowsMax)),
            .standard(10),
            "How many paths to list."
        ),
    ]

    private struct State: Sendable {
        var last: Int64
        /// Sixteen bits a type, the last one lowest.
        var types: UInt128
        var count = 1
    }

    private let length: Int
    private let gap: Int64
    private let isCollapsing: Bool
    private let limit: Int
    /// The bits of one path.
    private let mask: UInt128
    package let needs: AnalysisNeeds
    private var names: GroupTable
    private var going: SubjectTable<State>
    private var hitters: HeavyHitters<UInt128>
    private var withoutSubject: Int64 = 0
    private var hasOtherTypes = false

    /// What stands for all types beyond the bound on their number.
    private static let otherType: UInt128 = 0xffff

    package init(_ parameters: Parameters, limits: AnalysisLimits) throws(ParameterError) {
        length = parameters.integer("length") ?? 2
        gap = parameters.duration("gap") ?? 0
        isCollapsing = parameters.flag("collapse")
        limit = parameters.integer("limit") ?? 1
        mask = length == 8 ? .max : 1 << UInt128(16 * length) - 1
        needs = parameters.needs()
        names = GroupTable(capacity: min(limits.namesMax, 0xffff), valueBytesMax: 255)
        going = SubjectTable(bytesMax: limits.subjectBytesMax)
        hitters = HeavyHitters(capacity: max(limits.countersMax, limit + 1))
    }

    package mutating func add(_ event: AnalysisEvent) {
        guard let subject = event.subjectHash else {
            withoutSubject += 1
            return
        }
        guard going.isInSample(subject) else { return }
        let type = number(of: event.type)
        guard let position = going.position(of: subject) else {
            if going.isFull { forgetEnded(before: event.time) }
            _ = going.insert(subject, State(last: event.time, types: type))
            return
        }
        let pause = event.time - going.states[position].last
        going.states[position].last = event.time
        if pause > gap {
            going.states[position].types = type
            going.states[position].count = 1
        } else if !isCollapsing || going.states[position].types & 0xffff != type {
            going.states[position].types = (going.states[position].types << 16 | type) & mask
            going.states[position].count = min(going.states[position].count + 1, length)
            if going.states[position].count == length {
                _ = hitters.add(going.states[position].types, weight: going.weight)
            }
        }
    }

    private mutating func number(of type: String) -> UInt128 {
        let number = names.number(of: .text(type))
        if number >= 0 { return UInt128(number) }
        hasOtherTypes = true
        return Self.otherType
    }

    /// Makes room, as the sessions' kind does.
    private mutating func forgetEnded(before time: Int64) {
        let ended = going.states.count { time - $0.last > gap }
        if ended >= going.capacity / 4 { going.retain { _, state in time - state.last <= gap } }
    }

    package func result() -> AnalysisValue {
        let sorted = hitters.entries.sorted { ($0.count, $1.key) > ($1.count, $0.key) }
        let next = sorted.count > limit ? sorted[limit].count : hitters.countOfOthersMax
        let rows = sorted.prefix(limit).map { entry -> AnalysisValue in
            [
                "types": .list(types(of: entry.key)),
                "count": .integer(entry.count),
                "error": .integer(entry.error),
                "certain": .flag(entry.count - entry.error >= next),
            ]
        }
        return [
            "paths": .list(rows),
            "total": .integer(hitters.total),
            "others_max": .integer(next),
            "without_subject": .integer(withoutSubject),
            "sample": ["rate": .number(1 / Double(going.weight))],
            "truncated": .flag(sorted.count > limit || !hitters.isExact || hasOtherTypes),
            "exact": .flag(hitters.isExact && !hasOtherTypes && going.level == 0),
        ]
    }

    private func types(of path: UInt128) -> [AnalysisValue] {
        (0..<length).reversed().map { position in
            let number = path >> UInt128(16 * position) & 0xffff
            return number == Self.otherType ? .null : names.values[Int(number)].value
        }
    }
}
