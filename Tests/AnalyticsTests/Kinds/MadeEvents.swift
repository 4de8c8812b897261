@testable import Analytics

/// Events out of a seed, in the order of their times: bursts and pauses, several at one time, a few
/// subjects with most of them, some without one.
struct MadeEvents {
    var seed: UInt64
    var count = 600
    var subjects = 40
    var types = ["view", "cart", "pay", "help", "quit"]
    /// Between neighbours, in microseconds.
    var pauseMax: Int64 = 40_000_000
    /// From time 0 on.
    var start: Int64 = 0

    func make() -> [AnalysisEvent] {
        var random = SplitMix(seed: seed)
        var time = start
        return (0..<count).map { _ in
            switch random.below(10) {
            case 0: break
            case 1: time += Int64(random.below(Int(pauseMax * 20)))
            default: time += Int64(random.below(Int(pauseMax)))
            }
            // The product of two makes small numbers frequent.
            let subject = Int(random.unit() * random.unit() * Double(subjects))
            return AnalysisEvent(
                time: time,
                type: types[Int(random.unit() * random.unit() * Double(types.count))],
                source: random.below(4) == 0 ? "/b" : "/a",
                subject: random.below(12) == 0 ? nil : "user \(subject)",
                fields: [field(&random), field(&random)]
            )
        }
    }

    private func field(_ random: inout SplitMix) -> FieldValue? {
        switch random.below(6) {
        case 0: nil
        case 1: .text("plan \(random.below(4))")
        case 2: .flag(random.below(2) == 0)
        case 3: .number(Double(random.below(5)))
        default: .number(random.unit() * random.unit() * 1_000)
        }
    }
}

extension Analysis {
    /// An analysis of the range `from..<to`, in microseconds since 1970.
    static func make(
        _ kind: String,
        _ parameters: [String: AnalysisValue],
        from: Int64 = 0,
        to: Int64 = 1_000_000_000_000,
        limits: AnalysisLimits = AnalysisLimits()
    ) throws -> Analysis {
        var members = parameters
        members["from"] = .text(String(from))
        members["to"] = .text(String(to))
        let analysis = try Analysis(kind: kind, parameters: .object(members), limits: limits) { Int64($0) }
        guard let analysis else { throw NoSuchKind(name: kind) }
        return analysis
    }

    struct NoSuchKind: Error {
        let name: String
    }

    mutating func add(_ events: some Sequence<AnalysisEvent>) throws {
        for event in events { try add(event) }
    }

    /// The result of such an analysis of these events.
    static func result(
        _ kind: String,
        _ parameters: [String: AnalysisValue],
        _ events: [AnalysisEvent],
        from: Int64 = 0,
        to: Int64 = 1_000_000_000_000,
        limits: AnalysisLimits = AnalysisLimits()
    ) throws -> AnalysisValue {
        var analysis = try make(kind, parameters, from: from, to: to, limits: limits)
        try analysis.add(events)
        return analysis.result()
    }
}

extension AnalysisValue {
    var elements: [AnalysisValue] {
        if case .list(let elements) = self { return elements }
        return []
    }

    var integer: Int64? {
        if case .integer(let value) = self { return value }
        return nil
    }

    var number: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    var text: String? {
        if case .text(let value) = self { return value }
        return nil
    }

    /// These members of an object alone.
    func only(_ names: String...) -> AnalysisValue {
        var kept: [String: AnalysisValue] = [:]
        for name in names { kept[name] = self[name] }
        return .object(kept)
    }
}
