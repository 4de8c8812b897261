/// A state for each subject, in bounded space: of all subjects, or of a random sample of them.
///
/// When the table is full, every subject whose hash has one more leading zero bit than needed so far stays
/// and the others go: a random half. That may repeat (``level`` times), so the subjects are always a sample
/// of rate 2^-level, chosen by nothing but their hashes, and one that has gone never comes back with half a
/// history. A number of subjects counted in the sample is multiplied by ``weight``; its standard error is
/// then √(count · (weight - 1)).
///
/// A subject is its 64-bit hash. Among a million of them, the chance that any two are taken for one is 3 ·
/// 10^-8.
struct SubjectTable<State: Sendable>: Sendable {
    private(set) var hashes: [UInt64] = []
    /// In the order of ``hashes``.
    var states: [State] = []
    /// Open addressing: positions, -1 for free, at most half of them taken.
    private var table = [Int32](repeating: -1, count: 64)
    let capacity: Int
    /// How often half of the subjects were left out.
    private(set) var level = 0

    init(bytesMax: Int) {
        // A subject takes its state, its hash and, of a table that is a quarter to half full, up to four
        // slots.
        let bytes = MemoryLayout<State>.stride + MemoryLayout<UInt64>.stride + 4 * MemoryLayout<Int32>.stride
        capacity = max(2, min(bytesMax / bytes, 1 << 28))
    }

    var count: Int { hashes.count }
    var isFull: Bool { count == capacity }

    /// How many subjects one in the sample stands for.
    var weight: Int64 { 1 << Int64(level) }

    func isInSample(_ hash: UInt64) -> Bool { hash.leadingZeroBitCount >= level }

    func position(of hash: UInt64) -> Int? {
        var slot = Int(truncatingIfNeeded: hash) & (table.count - 1)
        while table[slot] >= 0 {
            let position = Int(table[slot])
            if hashes[position] == hash { return position }
            slot = (slot + 1) & (table.count - 1)
        }
        return nil
    }

    /// Adds a subject that is not there yet; `nil` when it does not belong to the sample.
    mutating func insert(_ hash: UInt64, _ state: State) -> Int? {
        while isFull, isInSample(hash), level < 63 { thin() }
        if isFull || !isInSample(hash) { return nil }
        hashes.append(hash)
        states.append(state)
        if count * 2 > table.count {
            rebuild(slots: table.count * 2)
        } else {
            enter(count - 1)
        }
        return count - 1
    }

    private mutating func thin() {
        level += 1
        let level = level
        retain { hash, _ in hash.leadingZeroBitCount >= level }
    }

    /// Forgets all others.
    mutating func retain(_ isKept: (UInt64, State) -> Bool) {
        var kept = 0
        for position in hashes.indices where isKept(hashes[position], states[position]) {
            hashes[kept] = hashes[position]
            states[kept] = states[position]
            kept += 1
        }
        hashes.removeLast(count - kept)
        states.removeLast(states.count - kept)
        rebuild(slots: table.count)
    }

    private mutating func rebuild(slots: Int) {
        if slots == table.count {
            for slot in table.indices { table[slot] = -1 }
        } else {
            table = [Int32](repeating: -1, count: slots)
        }
        for position in hashes.indices { enter(position) }
    }

    private mutating func enter(_ position: Int) {
        var slot = Int(truncatingIfNeeded: hashes[position]) & (table.count - 1)
        while table[slot] >= 0 { slot = (slot + 1) & (table.count - 1) }
        table[slot] = Int32(position)
    }

    /// For a result: the sample's rate, and how many subjects are in it.
    var sample: AnalysisValue {
        ["rate": .number(1 / Double(weight)), "subjects": .integer(Int64(count))]
    }
}
