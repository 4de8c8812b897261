import Events
import HTTP

/// Which rejects: those that all of these hold for.
struct RejectFilter: Equatable, Sendable {
    var code: RejectCode?
    /// Numbers, in order and each once; `nil` for any.
    var ids: [Int64]?
    /// When they were received, in microseconds since 1970, inclusive.
    var from: Int64?
    /// Exclusive.
    var to: Int64?

    /// Numbers that one request may name.
    static let idsMax = 1_000

    /// Whether it is true of every reject: nobody means all of them by saying nothing.
    var isEmpty: Bool { self == RejectFilter() }

    /// The conditions as SQL behind `parameters`, which they are added to.
    func conditions(_ parameters: inout [String?]) -> String {
        var conditions: [String] = []
        func add(_ condition: String, _ value: String, as type: String) {
            parameters.append(value)
            conditions.append("\(condition) $\(parameters.count)::\(type)")
        }
        if let code { add("code =", code.rawValue, as: "text") }
        if let ids {
            parameters.append(Self.list(ids))
            conditions.append("n = ANY ($\(parameters.count)::bigint[])")
        }
        if let from { add("received_at >=", Timestamp.text(from), as: "timestamptz") }
        if let to { add("received_at <", Timestamp.text(to), as: "timestamptz") }
        return conditions.isEmpty ? "true" : conditions.joined(separator: " AND ")
    }

    /// The numbers as PostgreSQL reads an array.
    static func list(_ numbers: [Int64]) -> String {
        "{" + numbers.map { "\($0)" }.joined(separator: ",") + "}"
    }

    /// For the audit trail.
    var json: JSONValue {
        var members: [String: JSONValue] = [:]
        if let code { members["code"] = .string(code.rawValue) }
        if let ids { members["ids"] = .array(ids.map { .integer($0) }) }
        if let from { members["from"] = .string(Timestamp.text(from)) }
        if let to { members["to"] = .string(Timestamp.text(to)) }
        return .object(members)
    }

    // MARK: Reading

    init() {}

    /// Reads `code`, `from` and `to` of a query, in which nothing else may be.
    init(_ query: QueryItems) throws(RejectError) {
        for item in query.items where !item.value.isEmpty {
            try set(item.name, item.value, time: Timestamp.parse(query: item.value))
        }
        try check()
    }

    /// Reads `code`, `ids`, `from` and `to` of a request's body; its other members are its reader's.
    init(_ members: [String: JSONValue]) throws(RejectError) {
        for name in ["code", "from", "to"] {
            guard let value = members[name], value != .null else { continue }
            guard let text = value.string else { throw .invalid(name, "a string") }
            try set(name, text, time: Timestamp.parse(Array(text.utf8).span))
        }
        if let value = members["ids"], value != .null { ids = try Self.ids(value) }
        try check()
    }

    private mutating func set(_ name: String, _ text: String, time: Int64?) throws(RejectError) {
        switch name {
        case "code":
            code = RejectCode(rawValue: text)
            if code == nil { throw .invalid("code", "the code of a refusal, such as invalid_time") }
        case "from", "to":
            guard let time else { throw .invalid(name, "an RFC 3339 time, such as 2026-01-02T03:04:05Z") }
            if name == "from" { from = time } else { to = time }
        default: throw .invalid(name, "no such parameter")
        }
    }

    private static func ids(_ value: JSONValue) throws(RejectError) -> [Int64] {
        guard case .array(let values) = value, values.count <= idsMax else {
            throw .invalid("ids", "a list of at most \(idsMax) numbers")
        }
        let ids = values.compactMap(\.integer)
        guard ids.count == values.count else { throw .invalid("ids", "a list of at most \(idsMax) numbers") }
        return Set(ids).sorted()
    }

    private func check() throws(RejectError) {
        if let from, let to, from > to { throw .invalid("to", "a time that is not before from") }
        if isEmpty { throw .missingFilter }
    }
}

/// Why a request about rejects is answered with a problem.
enum RejectError: Error, Equatable {
    /// A parameter or a member is not what it should be.
    case invalid(String, String)
    /// Nothing says which rejects.
    case missingFilter
    case notFound
    /// PostgreSQL did not answer; the tag says why.
    case unavailable(String)
    /// The events could not be written.
    case ingest(IngestError)
}
