import HeapModule

/// Deadlines and what they are for, earliest first.
///
/// Entries are never removed before their time: whoever is woken for nothing sees so from its own state. That
/// keeps adding and expiring at O(log n) and a wait on a socket, which moves its deadline with each request,
/// at no cost.
struct TimerQueue<Token: Equatable & Sendable>: Sendable {
    private struct Entry: Comparable, Sendable {
        let deadline: Deadline
        /// Among equal deadlines the first added comes first.
        let order: UInt64
        let token: Token

        static func < (left: Entry, right: Entry) -> Bool {
            (left.deadline, left.order) < (right.deadline, right.order)
        }
    }

    private var heap = Heap<Entry>()
    private var added: UInt64 = 0

    /// The earliest deadline; `nil` when the queue is empty.
    var next: Deadline? { heap.min?.deadline }

    var count: Int { heap.count }

    /// Adds `token`, to be returned by ``popExpired(at:)`` from `deadline` on.
    mutating func add(_ token: Token, at deadline: Deadline) {
        added += 1
        heap.insert(Entry(deadline: deadline, order: added, token: token))
    }

    /// Removes and returns the earliest entry whose deadline is not after `now`.
    mutating func popExpired(at now: Deadline) -> (deadline: Deadline, token: Token)? {
        guard let first = heap.min, first.deadline <= now else { return nil }
        heap.removeMin()
        return (first.deadline, first.token)
    }
}
