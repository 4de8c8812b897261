/// Which events a ``Rollup`` sums up: those of one minute, type and source.
///
/// Keys are compared by bytes, as PostgreSQL does under the collation "C"; `String` would take two spellings
/// of one letter for the same.
package struct RollupKey: Sendable {
    /// The start of the minute, in microseconds since 1970.
    package let minute: Int64
    package let type: String
    package let source: String

    /// Makes the key of the minute that the time `minute` lies in.
    package init(minute: Int64, type: String, source: String) {
        self.minute = Self.minute(of: minute)
        self.type = type
        self.source = source
    }

    package static let microsecondsPerMinute: Int64 = 60_000_000

    /// The start of the minute that `time` lies in, rounded down also before 1970.
    ///
    /// The first minute that an `Int64` reaches into starts before its range and counts as the next.
    package static func minute(of time: Int64) -> Int64 {
        let (quotient, remainder) = time.quotientAndRemainder(dividingBy: microsecondsPerMinute)
        let start = quotient * microsecondsPerMinute
        if remainder >= 0 { return start }
        let (previous, isOverflown) = start.subtractingReportingOverflow(microsecondsPerMinute)
        return isOverflown ? start : previous
    }
}

extension RollupKey: Hashable {
    package static func == (left: RollupKey, right: RollupKey) -> Bool {
        left.minute == right.minute && left.type.utf8.elementsEqual(right.type.utf8)
            && left.source.utf8.elementsEqual(right.source.utf8)
    }

    // Equal bytes are equal strings, so the strings' own hashes will do.
    package func hash(into hasher: inout Hasher) {
        hasher.combine(minute)
        hasher.combine(type)
        hasher.combine(source)
    }
}

extension RollupKey: Comparable {
    package static func < (left: RollupKey, right: RollupKey) -> Bool {
        if left.minute != right.minute { return left.minute < right.minute }
        if !left.type.utf8.elementsEqual(right.type.utf8) {
            return left.type.utf8.lexicographicallyPrecedes(right.type.utf8)
        }
        return left.source.utf8.lexicographicallyPrecedes(right.source.utf8)
    }
}
