/// Identities committed lately, so that a retry is recognised without asking PostgreSQL.
///
/// Two generations of a set: when the younger is full it becomes the older, and the older is forgotten. It
/// holds between `capacity` and twice as many, at 32 bytes each and a set's slack. A miss costs nothing but a
/// conflict later.
struct RecentKeys: Sendable {
    private let capacity: Int
    private var younger: Set<Identity> = []
    private var older: Set<Identity> = []

    init(capacity: Int) {
        precondition(capacity > 0, "a memory of nothing is no memory")
        self.capacity = capacity
        // What is not used takes no memory, and a set that grows would stop the loop for milliseconds.
        younger.reserveCapacity(capacity)
    }

    func contains(_ identity: Identity) -> Bool { younger.contains(identity) || older.contains(identity) }

    mutating func insert(_ identity: Identity) {
        if younger.count >= capacity {
            older = younger
            younger = []
            younger.reserveCapacity(capacity)
        }
        younger.insert(identity)
    }
}
