import Foundation
import Testing

@testable import Analytics

@Suite struct `Parameters of an analysis` {
    private static let range: [String: AnalysisValue] = ["from": "0", "to": "360000000000"]

    /// The least that each kind needs.
    private static func least(_ kind: String) -> [String: AnalysisValue] {
        switch kind {
        case "funnel": range.merging(["steps": ["a", "b"]]) { $1 }
        case "quantiles": range.merging(["field": "/n"]) { $1 }
        default: range
        }
    }

    private func refusal(_ kind: String, _ parameters: [String: AnalysisValue]) -> ParameterError? {
        do throws(ParameterError) {
            _ = try Analysis(kind: kind, parameters: .object(parameters)) { Int64($0) }
            return nil
        } catch {
            return error
        }
    }

    @Test func `are refused with a pointer to what is wrong`() {
        let cases: [(String, [String: AnalysisValue], String)] = [
            ("funnel", [:], "/steps"), ("funnel", ["steps": nil], "/steps"),
            ("funnel", ["steps": "a"], "/steps"), ("funnel", ["steps": []], "/steps"),
            ("funnel", ["steps": ["a", 1]], "/steps/1"), ("funnel", ["steps": ["a", ""]], "/steps/1"),
            ("funnel", ["steps": .list(Array(repeating: "a", count: 17))], "/steps"),
            ("funnel", ["steps": ["a"], "window": "0s"], "/window"),
            ("funnel", ["steps": ["a"], "window": "7"], "/window"),
            ("funnel", ["steps": ["a"], "window": 7], "/window"),
            ("funnel", ["steps": ["a"], "window": "53w"], "/window"),
            ("funnel", ["steps": ["a"], "window": "999999999w"], "/window"),
            ("funnel", ["steps": ["a"], "segment": "plan"], "/segment"),
            ("quantiles", ["field": "n"], "/field"), ("quantiles", ["field": "/a~2"], "/field"),
            ("quantiles", ["field": "/n", "shares": [0.5, 1.5]], "/shares/1"),
            ("top", ["limit": 0], "/limit"), ("top", ["limit": 1.5], "/limit"),
            ("top", ["a/b~": 1], "/a~1b~0"),
            ("top", ["from": 3], "/from"), ("top", ["from": "soon"], "/from"), ("top", ["to": "0"], "/to"),
            ("retention", ["period": "month"], "/period"), ("paths", ["collapse": "yes"], "/collapse"),
            ("correlate", ["types": ["a"]], "/types"), ("anomalies", ["threshold": 0.5], "/threshold"),
        ]
        for (kind, parameters, pointer) in cases {
            let error = refusal(kind, Self.range.merging(parameters) { $1 })
            #expect(error?.pointer == pointer, "\(kind) \(parameters): \(error?.detail ?? "accepted")")
        }
        for kind in Analysis.kinds.map({ $0.name }) {
            var parameters = Self.least(kind)
            #expect(refusal(kind, parameters) == nil, "\(kind)")
            parameters["from"] = nil
            #expect(refusal(kind, parameters) == ParameterError("/from", "it is missing"))
        }
    }

    @Test func `that are no object are refused as a whole`() {
        #expect(throws: ParameterError("", "an object is needed")) {
            try Analysis(kind: "top", parameters: [1]) { Int64($0) }
        }
    }

    @Test func `may be null where they may be absent`() {
        #expect(refusal("top", Self.range.merging(["by": nil, "limit": nil, "source": nil]) { $1 }) == nil)
    }

    @Test(
        arguments: [
            ("1ms", 1_000), ("90s", 90_000_000), ("30m", 1_800_000_000), ("2h", 7_200_000_000),
            ("7d", 604_800_000_000), ("1w", 604_800_000_000), ("0s", nil), ("01s", nil), ("s", nil),
            ("", nil),
            ("1", nil), ("1 s", nil), ("1S", nil), ("-1s", nil), ("1.5h", nil), ("1000000000s", nil),
            ("1us", nil), ("999999999w", nil),
        ] as [(String, Int64?)]
    )
    func `have durations as a number and a unit`(text: String, microseconds: Int64?) {
        #expect(Parameter.Shape.duration(text) == microseconds)
    }

    /// Values of every sort, some of which each parameter takes.
    private static let pool: [AnalysisValue] = [
        true, 0, 1, 2, 5, 64, 1_001, -1, 0.5, 1.5, "", "a", "type", "/a/b", "/a~1", "a/b", "/a~", "1h", "90m",
        "0s", "12", "day", "count", "pearson", "counts", [], ["a", "b"], ["a", ""], [0.1, 0.9], [2],
        .list(Array(repeating: "a", count: 101)), .text(String(repeating: "a", count: 256)), [:],
    ]

    @Test(arguments: Analysis.kinds.map { $0.name }) func `are checked as the kind's JSON Schema says`(
        kind: String
    ) throws {
        let type = try #require(Analysis.kinds.first { $0.name == kind })
        let schema = type.schema
        guard case .object(let properties)? = schema["properties"] else {
            Issue.record("no properties")
            return
        }
        #expect(try SchemaCheck.accepts(.object(Self.least(kind)), schema))
        #expect(schema["additionalProperties"] == false)
        var accepted = 0
        for (name, property) in properties where name != "from" && name != "to" {
            // What the schema cannot say: the bounds of a duration, and what parameters mean together.
            let isLoose =
                property["pattern"]?.text?.contains("ms|s|m|h") == true || ["field", "lag"].contains(name)
            for value in Self.pool {
                let parameters = Self.least(kind).merging([name: value]) { $1 }
                let isAccepted = refusal(kind, parameters) == nil
                let isValid = try SchemaCheck.accepts(.object(parameters), schema)
                accepted += isAccepted ? 1 : 0
                #expect(isValid || !isAccepted, "\(name): \(value) is taken against the schema")
                #expect(isAccepted || !isValid || isLoose, "\(name): \(value) is refused against the schema")
            }
            if let standard = property["default"] {
                #expect(try SchemaCheck.accepts(standard, property), "\(name)")
            }
            #expect(property["description"]?.text?.hasSuffix(".") == true, "\(name)")
        }
        #expect(accepted >= properties.count - 2, "the pool holds something for each")
    }
}

/// The part of JSON Schema 2020-12 that the kinds' schemas use.
private enum SchemaCheck {
    struct UnknownKeyword: Error {
        let keyword: String
    }

    static func accepts(_ value: AnalysisValue, _ schema: AnalysisValue) throws -> Bool {
        guard case .object(let keywords) = schema else { return schema == .flag(true) }
        for (keyword, rule) in keywords where try !obeys(value, keyword, rule, keywords) { return false }
        return true
    }

    private static func obeys(
        _ value: AnalysisValue,
        _ keyword: String,
        _ rule: AnalysisValue,
        _ schema: [String: AnalysisValue]
    ) throws -> Bool {
        switch keyword {
        case "$schema", "description", "default", "format",
            "required" where rule == []:
            return true
        case "type": return isType(value, rule.text ?? "")
        case "enum": return rule.elements.contains(value)
        case "minimum": return (value.number ?? .infinity) >= (rule.number ?? 0)
        case "maximum": return (value.number ?? -.infinity) <= (rule.number ?? 0)
        case "minLength": return (value.text ?? "").unicodeScalars.count >= rule.integer ?? 0
        case "maxLength": return (value.text ?? "").unicodeScalars.count <= rule.integer ?? 0
        case "minItems": return value.elements.count >= rule.integer ?? 0
        case "maxItems": return value.elements.count <= rule.integer ?? 0
        case "items": return try value.elements.allSatisfy { try accepts($0, rule) }
        case "pattern":
            return (value.text ?? "").range(of: rule.text ?? "", options: .regularExpression) != nil
        case "required": return rule.elements.allSatisfy { value[$0.text ?? ""] != nil }
        case "additionalProperties":
            guard case .object(let members) = value, case .object(let properties)? = schema["properties"]
            else {
                return true
            }
            return members.keys.allSatisfy { properties[$0] != nil }
        case "properties":
            guard case .object(let properties) = rule else { return false }
            return try properties.allSatisfy { name, rule in
                try value[name].map { try accepts($0, rule) } ?? true
            }
        default: throw UnknownKeyword(keyword: keyword)
        }
    }

    private static func isType(_ value: AnalysisValue, _ type: String) -> Bool {
        switch (value, type) {
        case (.text, "string"), (.flag, "boolean"), (.list, "array"), (.object, "object"),
            (.integer, "integer"),
            (.integer, "number"), (.number, "number"):
            true
        default: false
        }
    }
}
