/// Numbers for the values of a group, in the order in which they come, up to a bound.
struct GroupTable: Sendable {
    /// What an event without a value belongs to.
    static let absent = -1
    /// What comes after the table is full belongs to.
    static let others = -2

    private(set) var values: [FieldValue] = []
    private var numbers: [UInt64: Int] = [:]
    let capacity: Int
    private let valueBytesMax: Int

    init(capacity: Int, valueBytesMax: Int) {
        self.capacity = capacity
        self.valueBytesMax = valueBytesMax
    }

    mutating func number(of value: FieldValue?) -> Int {
        guard let value else { return Self.absent }
        let hash = value.hash
        if let number = numbers[hash] { return number }
        if values.count == capacity { return Self.others }
        numbers[hash] = values.count
        values.append(value.shown(bytesMax: valueBytesMax))
        return values.count - 1
    }
}
