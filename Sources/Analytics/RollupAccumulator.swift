/// Adds up events into rollups, one call an event and one more for each of its numbers.
///
/// Events come in runs of one minute, type and source, with the same fields in the same order. So the last
/// key and the field after the last one are tried first; a string is made once a key and field, in
/// ``rollups``.
package struct RollupAccumulator: Sendable {
    private struct Entry: Sendable {
        let minute: Int64
        let type: [UInt8]
        let source: [UInt8]
        let hash: UInt64
        var count: Int64 = 0
        var subjects = HyperLogLog()
        var fields = FieldSlots()
    }

    private var entries: [Entry] = []
    /// Open addressing: positions in `entries`, -1 for free, at most half of them taken.
    private var table = [Int32](repeating: -1, count: 64)
    /// The entry of the last event.
    private var current = -1

    package init() {}

    /// How many different keys there are so far.
    package var count: Int { entries.count }

    /// Counts an event; its numbers follow with ``add(field:value:)``.
    package mutating func add(
        time: Int64,
        type: Span<UInt8>,
        source: Span<UInt8>,
        subject: Span<UInt8>?
    ) {
        let minute = RollupKey.minute(of: time)
        if current < 0 || !isEntry(current, minute, type, source) { select(minute, type, source) }
        entries[current].count += 1
        entries[current].fields.rewind()
        if let subject { entries[current].subjects.insert(hash: hash64(subject)) }
    }

    /// Adds a number to a field of the event that was added last.
    package mutating func add(field name: Span<UInt8>, value: Double) {
        precondition(current >= 0, "a number belongs to an event")
        entries[current].fields.insert(value, into: name)
    }

    /// What has been added up so far.
    package var rollups: [RollupKey: Rollup] {
        var rollups: [RollupKey: Rollup] = [:]
        rollups.reserveCapacity(entries.count)
        for entry in entries {
            let key = RollupKey(
                minute: entry.minute,
                type: String(decoding: entry.type, as: UTF8.self),
                source: String(decoding: entry.source, as: UTF8.self)
            )
            let rollup = Rollup(count: entry.count, subjects: entry.subjects, fields: entry.fields.sketches)
            // Two keys become one only when bytes that were no UTF-8 have been repaired to the same text.
            rollups[key, default: Rollup()].merge(rollup)
        }
        return rollups
    }

    private func isEntry(
        _ position: Int,
        _ minute: Int64,
        _ type: Span<UInt8>,
        _ source: Span<UInt8>
    ) -> Bool {
        entries[position].minute == minute && isEqual(entries[position].type, type)
            && isEqual(entries[position].source, source)
    }

    private mutating func select(_ minute: Int64, _ type: Span<UInt8>, _ source: Span<UInt8>) {
        let hash = hash64(source, seed: hash64(type, seed: UInt64(bitPattern: minute)))
        var slot = Int(truncatingIfNeeded: hash) & (table.count - 1)
        while table[slot] >= 0 {
            let position = Int(table[slot])
            if entries[position].hash == hash, isEntry(position, minute, type, source) {
                current = position
                return
            }
            slot = (slot + 1) & (table.count - 1)
        }
        current = entries.count
        table[slot] = Int32(current)
        entries.append(Entry(minute: minute, type: type.copied(), source: source.copied(), hash: hash))
        if entries.count * 2 > table.count { grow() }
    }

    private mutating func grow() {
        table = [Int32](repeating: -1, count: table.count * 2)
        for (position, entry) in entries.enumerated() {
            var slot = Int(truncatingIfNeeded: entry.hash) & (table.count - 1)
            while table[slot] >= 0 { slot = (slot + 1) & (table.count - 1) }
            table[slot] = Int32(position)
        }
    }
}
