import Synchronization

/// A number that handlers on any loop count up.
final class Counter: Sendable {
    private let count = Atomic<Int>(0)

    var value: Int { count.load(ordering: .relaxed) }

    func add(_ more: Int) { count.wrappingAdd(more, ordering: .relaxed) }
}
