/// The fields of one entry of a ``RollupAccumulator``, found by bytes; becomes a ``FieldSketches``.
struct FieldSlots: Sendable {
    private struct Slot: Sendable {
        let name: [UInt8]
        var sketch = QuantileSketch()
    }

    /// In the order of arrival, which is the order in which the next event brings them too.
    private var slots: [Slot] = []
    /// The same slots' names, hashed: a scan of 32 words is cheaper than a table.
    private var hashes: [UInt64] = []
    private var omitted: Int64 = 0
    /// Where the next field is expected.
    private var cursor = 0

    /// A new event begins.
    mutating func rewind() {
        cursor = 0
    }

    mutating func insert(_ value: Double, into name: Span<UInt8>) {
        if cursor < slots.count, isEqual(slots[cursor].name, name) {
            slots[cursor].sketch.insert(value)
            cursor += 1
        } else if let position = position(of: name) {
            slots[position].sketch.insert(value)
            cursor = position + 1
        } else {
            omitted = omitted.addingSaturated(1)
        }
    }

    /// The slot of the name, made when it may have one.
    private mutating func position(of name: Span<UInt8>) -> Int? {
        let hash = hash64(name)
        for position in hashes.indices where hashes[position] == hash {
            if isEqual(slots[position].name, name) { return position }
        }
        guard name.count <= RollupLimits.fieldNameBytesMax else { return nil }
        if slots.count == RollupLimits.fieldsMax, !dropLast(ifAfter: name) { return nil }
        slots.append(Slot(name: name.copied()))
        hashes.append(hash)
        return slots.count - 1
    }

    /// Makes room for a name that takes precedence over one of those here; see ``FieldSketches``.
    private mutating func dropLast(ifAfter name: Span<UInt8>) -> Bool {
        var last = 0
        for position in slots.indices {
            let candidate = slots[position].name
            if Self.precedes(slots[last].name, candidate.span) { last = position }
        }
        if Self.precedes(slots[last].name, name) { return false }
        let sketch = slots.remove(at: last).sketch
        hashes.remove(at: last)
        omitted = omitted.addingSaturated(sketch.count).addingSaturated(sketch.ignored)
        return true
    }

    private static func precedes(_ left: [UInt8], _ right: Span<UInt8>) -> Bool {
        if left.count != right.count { return left.count < right.count }
        for index in left.indices where left[index] != right[index] { return left[index] < right[index] }
        return false
    }

    var sketches: FieldSketches {
        var sketches = FieldSketches(omitted: omitted)
        for slot in slots {
            sketches.merge(slot.sketch, into: String(decoding: slot.name, as: UTF8.self))
        }
        return sketches
    }
}

extension Span<UInt8> {
    /// An array of the same bytes.
    func copied() -> [UInt8] {
        var array: [UInt8] = []
        array.reserveCapacity(count)
        for index in indices { array.append(self[index]) }
        return array
    }
}
