/// Writes Prometheus' text exposition format, version 0.0.4.
package struct PrometheusText: Sendable {
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// What has been written.
    package private(set) var bytes: [UInt8] = []

    /// An empty text.
    package init() {}

    /// Begins a family: its HELP and TYPE lines.
    package mutating func begin(_ name: String, type: String) {
        let help = MetricCatalogue.help(name).replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
        line("# HELP \(name) \(help)")
        line("# TYPE \(name) \(type)")
    }

    /// One sample; `labels` is what ``labels(_:)`` returns.
    package mutating func sample(_ name: String, _ labels: String, _ value: Double) {
        line("\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(Self.number(value))")
    }

    /// The samples of a histogram: cumulative buckets, sum and count.
    package mutating func histogram(_ name: String, _ labels: String, _ histogram: Histogram) {
        let prefix = labels.isEmpty ? "" : labels + ","
        var count: UInt64 = 0
        for (index, bound) in (histogram.bounds + [.infinity]).enumerated() {
            count &+= histogram.counts[index]
            sample("\(name)_bucket", "\(prefix)le=\"\(Self.number(bound))\"", Double(count))
        }
        sample("\(name)_sum", labels, histogram.sum)
        sample("\(name)_count", labels, Double(count))
    }

    /// The labels of a series between its braces, sorted; of two dimensions with one name the last counts.
    package static func labels(_ dimensions: [(String, String)]) -> String {
        var values: [String: String] = [:]
        for (key, value) in dimensions { values[labelName(key)] = value }
        return values.sorted { $0.key < $1.key }.map { "\($0.key)=\"\(escaped($0.value))\"" }
            .joined(separator: ",")
    }

    /// A metric's name out of a label: characters that no name holds become `_`.
    package static func name(_ label: String) -> String { spelled(label, allowingColon: true) }

    private static func labelName(_ key: String) -> String {
        // A leading `__` is Prometheus' own, and `le` belongs to the buckets.
        let name = spelled(key, allowingColon: false)
        return name.hasPrefix("__") || name == "le" ? "label_" + name : name
    }

    private static func spelled(_ text: String, allowingColon: Bool) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            let isLetter = "a"..."z" ~= scalar || "A"..."Z" ~= scalar || scalar == "_"
            let isDigit = "0"..."9" ~= scalar
            if isDigit, result.isEmpty { result += "_" }
            let isAllowed = isLetter || isDigit || (allowingColon && scalar == ":")
            result.unicodeScalars.append(isAllowed ? scalar : "_")
        }
        return result.isEmpty ? "_" : result
    }

    private static func escaped(_ value: String) -> String {
        var result = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        let text = value.description
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }

    private mutating func line(_ text: String) {
        bytes.append(contentsOf: text.utf8)
        bytes.append(UInt8(ascii: "\n"))
    }
}
