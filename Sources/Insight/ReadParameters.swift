import Events
import HTTP

/// The parameters of a query, checked: known ones only, each once; an empty one counts as not given.
struct ReadParameters: Sendable {
    private let values: [String: String]

    /// Takes the items of a query whose names are in `allowed`.
    init(_ items: QueryItems, allowed: Set<String>) throws(ReadError) {
        var values: [String: String] = [:]
        for item in items.items {
            guard allowed.contains(item.name) else { throw .unknownParameter(item.name) }
            if item.value.isEmpty { continue }
            guard values.updateValue(item.value, forKey: item.name) == nil else {
                throw .repeatedParameter(item.name)
            }
        }
        self.values = values
    }

    /// The value as it came.
    func text(_ name: String, bytesMax: Int = 1_024) throws(ReadError) -> String? {
        guard let value = values[name] else { return nil }
        if value.utf8.count > bytesMax {
            throw .invalid(parameter: name, "The value of \"\(name)\" is longer than \(bytesMax) bytes.")
        }
        return value
    }

    /// A moment in microseconds since 1970.
    func time(_ name: String) throws(ReadError) -> Int64? {
        guard let value = try text(name) else { return nil }
        guard let time = Timestamp.parse(query: value) else {
            throw .invalid(
                parameter: name,
                "The value of \"\(name)\" is not an RFC 3339 time, such as 2026-01-02T03:04:05Z."
            )
        }
        return time
    }

    /// An integer of `range`.
    func integer(_ name: String, in range: ClosedRange<Int>) throws(ReadError) -> Int? {
        guard let value = try text(name) else { return nil }
        guard value.utf8.allSatisfy({ 0x30...0x39 ~= $0 }), let number = Int(value), range.contains(number)
        else {
            throw .invalid(
                parameter: name,
                "The value of \"\(name)\" is not an integer from \(range.lowerBound) to \(range.upperBound)."
            )
        }
        return number
    }

    /// One of a few words.
    func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String
    ) throws(ReadError) -> Choice? where Choice.RawValue == String {
        guard let value = try text(name) else { return nil }
        if let choice = Choice(rawValue: value) { return choice }
        let words = Choice.allCases.map(\.rawValue).joined(separator: ", ")
        throw .invalid(parameter: name, "The value of \"\(name)\" is none of \(words).")
    }
}
