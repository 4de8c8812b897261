/// The most frequent keys of a stream, in bounded space: Metwally, Agrawal and El Abbadi's Space-Saving
/// ("Efficient computation of frequent and top-k elements in data streams", ICDT 2005).
///
/// Of each key that is counted, the true count is at most ``Entry/count`` and at least that less
/// ``Entry/error``; of each key that is not, it is at most ``countOfOthersMax``. Neither exceeds the total
/// divided by the capacity. So every key that makes up more than that share of the stream is among the
/// entries. With no more different keys than the capacity all counts are exact.
struct HeavyHitters<Key: Hashable & Sendable>: Sendable {
    struct Entry: Equatable, Sendable {
        var key: Key
        /// Never too low.
        var count: Int64
        /// By how much it may be too high.
        var error: Int64
    }

    /// What became of the set of keys.
    enum Change: Equatable, Sendable {
        case counted
        case entered
        /// The new key has taken the place of this one.
        case displaced(Key)
    }

    let capacity: Int
    private(set) var entries: [Entry] = []
    private var positions: [Key: Int] = [:]
    /// Positions of entries, least count first (a heap); made when the entries are full.
    private var heap: [Int] = []
    /// Where in the heap each entry is.
    private var places: [Int] = []
    /// The sum of all weights.
    private(set) var total: Int64 = 0
    private(set) var isExact = true

    init(capacity: Int) {
        precondition(capacity > 0, "a key needs a counter")
        self.capacity = capacity
    }

    /// A bound on the count of every key without an entry.
    var countOfOthersMax: Int64 { isExact ? 0 : entries[heap[0]].count }

    /// Counts a key `weight` times.
    mutating func add(_ key: Key, weight: Int64 = 1) -> Change {
        total = total.addingSaturated(weight)
        if let position = positions[key] {
            entries[position].count = entries[position].count.addingSaturated(weight)
            if !heap.isEmpty { sink(places[position]) }
            return .counted
        }
        if entries.count < capacity {
            positions[key] = entries.count
            entries.append(Entry(key: key, count: weight, error: 0))
            if entries.count == capacity { makeHeap() }
            return .entered
        }
        isExact = false
        let position = heap[0]
        let least = entries[position]
        positions[least.key] = nil
        positions[key] = position
        entries[position] = Entry(key: key, count: least.count.addingSaturated(weight), error: least.count)
        sink(0)
        return .displaced(least.key)
    }

    private mutating func makeHeap() {
        heap = Array(entries.indices)
        places = heap
        for place in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sink(place) }
    }

    /// Moves an entry whose count has grown to where it belongs.
    private mutating func sink(_ start: Int) {
        var place = start
        let position = heap[place]
        let count = entries[position].count
        while true {
            var child = 2 * place + 1
            if child >= heap.count { break }
            if child + 1 < heap.count, entries[heap[child + 1]].count < entries[heap[child]].count {
                child += 1
            }
            if entries[heap[child]].count >= count { break }
            heap[place] = heap[child]
            places[heap[place]] = place
            place = child
        }
        heap[place] = position
        places[position] = place
    }
}
