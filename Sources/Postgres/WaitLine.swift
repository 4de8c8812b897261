import DequeModule

/// A bounded line of suspended callers, first come first served; each is resumed exactly once.
///
/// Held by an actor; `nil` tells a caller that it left the line without its turn.
struct WaitLine<Turn: Sendable> {
    private struct Waiting {
        let id: UInt64
        let continuation: CheckedContinuation<Turn?, Never>
    }

    private var waiting: Deque<Waiting> = []
    private var idsUsed: UInt64 = 0
    let countMax: Int

    init(countMax: Int) { self.countMax = countMax }

    var count: Int { waiting.count }
    var isFull: Bool { waiting.count >= countMax }

    /// A place's identity, taken before the caller suspends so that a timer can name it.
    mutating func nextID() -> UInt64 {
        idsUsed += 1
        return idsUsed
    }

    mutating func join(_ id: UInt64, _ continuation: CheckedContinuation<Turn?, Never>) {
        waiting.append(Waiting(id: id, continuation: continuation))
    }

    /// Gives `turn` to the first in line; `false` when nobody waits.
    mutating func admit(_ turn: Turn) -> Bool {
        guard let first = waiting.popFirst() else { return false }
        first.continuation.resume(returning: turn)
        return true
    }

    /// Takes `id` out of the line, if it is still there.
    mutating func leave(_ id: UInt64) {
        guard let index = waiting.firstIndex(where: { $0.id == id }) else { return }
        waiting.remove(at: index).continuation.resume(returning: nil)
    }

    /// Sends everybody away.
    mutating func dismissAll() {
        while let first = waiting.popFirst() { first.continuation.resume(returning: nil) }
    }
}
