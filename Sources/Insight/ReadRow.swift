import Postgres

/// One row of a result in text format, read from left to right.
struct ReadRow {
    private let values: [String?]
    private var position = 0

    init(_ values: [String?]) { self.values = values }

    mutating func text() throws(ReadError) -> String? {
        guard position < values.count else { throw .corrupt("a row has fewer columns than were asked for") }
        position += 1
        return values[position - 1]
    }

    mutating func string() throws(ReadError) -> String {
        guard let value = try text() else { throw .corrupt("a column is null that cannot be") }
        return value
    }

    mutating func integer() throws(ReadError) -> Int64 {
        let value = try string()
        guard let number = Int64(value) else { throw .corrupt("a column holds no integer") }
        return number
    }

    mutating func double() throws(ReadError) -> Double {
        let value = try string()
        guard let number = Double(value) else { throw .corrupt("a column holds no number") }
        return number
    }

    /// A bytea, which comes as `\x` and hexadecimal digits.
    mutating func bytes() throws(ReadError) -> [UInt8]? {
        guard let value = try text() else { return nil }
        guard let bytes = PostgresBytes.decode(value) else { throw .corrupt("a column holds no bytea") }
        return bytes
    }
}
