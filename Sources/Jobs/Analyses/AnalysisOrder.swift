import Analytics
package import Events
import Workers

/// What somebody asks for: an analysis' kind and parameters, and when and how it is to run.
package struct AnalysisOrder: Equatable, Sendable {
    /// Why an order is refused.
    package struct Refusal: Error, Equatable, Sendable {
        /// A JSON pointer into the order.
        package let pointer: String
        package let detail: String
    }

    package var kind: String
    package var parameters: [String: JSONValue]
    /// Microseconds since 1970; `nil` for at once.
    package var runAt: Int64?
    /// 0, the most urgent, to 9.
    package var priority: Int64 = 4
    package var timeoutSeconds: Int64 = 3_600
    package var attemptsMax: Int64 = 3
    /// While an analysis of this key is in the queue, another one is the same.
    package var uniqueKey: String?
    /// The times of the events, in microseconds since 1970.
    package var range: Range<Int64>

    private static let members: Set<String> = [
        "kind", "params", "run_at", "priority", "timeout_s", "max_attempts", "unique_key",
    ]

    /// Reads an order and checks all of it, the parameters by the kind's own rules.
    package init(_ members: [String: JSONValue]) throws(Refusal) {
        if let other = members.keys.filter({ !Self.members.contains($0) }).min() {
            throw Refusal(pointer: "/\(other)", detail: "there is no such member")
        }
        guard let kind = members["kind"]?.string else {
            throw Refusal(pointer: "/kind", detail: "it is missing")
        }
        guard case .object(let parameters)? = members["params"] else {
            throw Refusal(pointer: "/params", detail: "an object is needed")
        }
        self.kind = kind
        self.parameters = parameters
        range = try Self.analysis(kind, parameters).needs.range
        if let text = members["run_at"], text != .null {
            guard let time = text.string.flatMap({ Timestamp.parse($0.utf8.span) }) else {
                throw Refusal(pointer: "/run_at", detail: "a time as in RFC 3339 is needed")
            }
            runAt = time
        }
        priority = try Self.integer("priority", of: members, in: 0...9) ?? priority
        timeoutSeconds = try Self.integer("timeout_s", of: members, in: 1...86_400) ?? timeoutSeconds
        attemptsMax = try Self.integer("max_attempts", of: members, in: 1...20) ?? attemptsMax
        if let value = members["unique_key"], value != .null {
            guard let key = value.string, 1...255 ~= key.utf8.count else {
                throw Refusal(pointer: "/unique_key", detail: "a text of 1 to 255 bytes is needed")
            }
            uniqueKey = key
        }
    }

    /// The analysis that a kind and its parameters make.
    static func analysis(_ kind: String, _ parameters: [String: JSONValue]) throws(Refusal) -> Analysis {
        do throws(ParameterError) {
            let value = AnalysisValue(.object(parameters))
            if let analysis = try Analysis(
                kind: kind,
                parameters: value,
                readTime: { Timestamp.parse($0.utf8.span) }
            ) {
                return analysis
            }
        } catch {
            throw Refusal(pointer: "/params\(error.pointer)", detail: error.detail)
        }
        let names = Analysis.kinds.map { $0.name }.joined(separator: ", ")
        throw Refusal(pointer: "/kind", detail: "one of \(names) is needed")
    }

    private static func integer(
        _ name: String,
        of members: [String: JSONValue],
        in range: ClosedRange<Int64>
    ) throws(Refusal) -> Int64? {
        guard let value = members[name], value != .null else { return nil }
        guard let number = value.integer, range.contains(number) else {
            let detail = "a whole number from \(range.lowerBound) to \(range.upperBound) is needed"
            throw Refusal(pointer: "/\(name)", detail: detail)
        }
        return number
    }
}
