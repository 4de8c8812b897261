// Kinds: what can be asked of stored events.
//
// Each kind is a struct that is made from its parameters, takes the events of a range one by one in the
// order of their times, and has a result at the end. It holds a bounded state, whatever the number of
// events: `AnalysisLimits` says how much, and a result that reached a bound says so and how far it may be
// off. Where the events come from and where the result goes is not known here.
//
//     parameters → Analysis(kind) ── needs → whoever reads the events
//                  events, in time order → add → … → result → JSON

/// One kind of analysis.
///
/// The struct holds what its events have come to so far.
package protocol AnalysisKind: Sendable {
    static var name: String { get }
    /// What it answers, in one sentence.
    static var note: String { get }
    /// Without those that all kinds have.
    static var parameters: [Parameter] { get }

    init(_ parameters: Parameters, limits: AnalysisLimits) throws(ParameterError)

    /// Which events it is to be given, and what of them.
    var needs: AnalysisNeeds { get }

    /// Takes the next event: of the range, and not before the last one.
    mutating func add(_ event: AnalysisEvent)

    /// What the events so far amount to: an object.
    func result() -> AnalysisValue
}

extension AnalysisKind {
    /// Every parameter it takes.
    static var allParameters: [Parameter] { Parameter.selection + parameters }

    /// The JSON Schema (2020-12) of its parameters.
    package static var schema: AnalysisValue { Parameter.schema(of: allParameters) }
}

/// An analysis under way: a kind with its parameters and its state.
package struct Analysis: Sendable {
    /// Events that a kind cannot take: a mistake of whoever reads them.
    package enum OrderError: Error, Equatable, Sendable {
        case outsideOfRange(time: Int64)
        case beforeTheLast(time: Int64, last: Int64)
    }

    /// All kinds, in the order of their names.
    package static let kinds: [any AnalysisKind.Type] = [
        AnomaliesKind.self, CorrelateKind.self, FunnelKind.self, PathsKind.self, QuantilesKind.self,
        RetentionKind.self, SessionsKind.self, TopKind.self,
    ]

    package let needs: AnalysisNeeds
    private var kind: any AnalysisKind
    private var last = Int64.min
    /// Events taken so far.
    package private(set) var events: Int64 = 0

    /// Begins an analysis; `nil` where there is no such kind.
    ///
    /// `readTime` gives the microseconds since 1970 of an RFC 3339 text, `nil` for what is none.
    package init?(
        kind name: String,
        parameters: AnalysisValue,
        limits: AnalysisLimits = AnalysisLimits(),
        readTime: (String) -> Int64?
    ) throws(ParameterError) {
        guard let type = Self.kinds.first(where: { $0.name == name }) else { return nil }
        kind = try Self.make(type, parameters, limits, readTime)
        needs = kind.needs
    }

    private static func make<Kind: AnalysisKind>(
        _ type: Kind.Type,
        _ value: AnalysisValue,
        _ limits: AnalysisLimits,
        _ readTime: (String) -> Int64?
    ) throws(ParameterError) -> any AnalysisKind {
        let parameters = try Parameters(value, of: type.allParameters, readTime: readTime)
        return try Kind(parameters, limits: limits)
    }

    /// Takes the next event.
    package mutating func add(_ event: AnalysisEvent) throws(OrderError) {
        if !needs.range.contains(event.time) { throw .outsideOfRange(time: event.time) }
        if event.time < last { throw .beforeTheLast(time: event.time, last: last) }
        last = event.time
        events += 1
        kind.add(event)
    }

    /// The share of the range that lies behind, 0...1: events need not be spread evenly over it.
    package var progress: Double {
        if events == 0 { return 0 }
        let passed = Double(last) - Double(needs.range.lowerBound)
        return passed / (Double(needs.range.upperBound) - Double(needs.range.lowerBound))
    }

    /// What the events so far amount to.
    ///
    /// An object: the kind's own members, and `events`, how many they were.
    package func result() -> AnalysisValue {
        guard case .object(var members) = kind.result() else { return .null }
        members["events"] = .integer(events)
        return .object(members)
    }
}
