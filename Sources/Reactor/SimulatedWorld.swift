import Synchronization

/// A time and dice of its own for a part of the program, in debug builds: with these a simulation is a
/// function of its seed.
///
/// They hold for the tasks that begin within ``run(_:)``, and for all that those begin. The time stands still
/// until somebody sets it. In release builds there is nothing of this.
package final class SimulatedWorld: Sendable {
    private let nanoseconds: Atomic<UInt64>
    private let dice: Mutex<SplitMix64>

    #if DEBUG
    @TaskLocal fileprivate static var current: SimulatedWorld?
    #endif

    /// Makes a world that begins at `now`, whose dice follow from `seed`.
    package init(now: Deadline, seed: UInt64) {
        nanoseconds = Atomic(now.nanoseconds)
        dice = Mutex(SplitMix64(seed: seed))
    }

    package var now: Deadline {
        get { Deadline(nanoseconds: nanoseconds.load(ordering: .relaxed)) }
        set { nanoseconds.store(newValue.nanoseconds, ordering: .relaxed) }
    }

    /// Runs `body` in this world.
    package func run<Value>(_ body: () throws -> Value) rethrows -> Value {
        #if DEBUG
        try Self.$current.withValue(self, operation: body)
        #else
        try body()
        #endif
    }

    fileprivate func roll() -> UInt64 { dice.withLock { $0.next() } }

    /// The time of the world that the caller is in; `nil` in the real one.
    static var time: Deadline? {
        #if DEBUG
        current?.now
        #else
        nil
        #endif
    }
}

/// The system's random numbers; in a ``SimulatedWorld`` its own.
///
/// For what need not be the same every time, and must be when a failure is looked into.
package struct Dice: RandomNumberGenerator, Sendable {
    package init() {}

    package mutating func next() -> UInt64 { Self.roll() }

    /// Any number of 64 bits.
    package static func roll() -> UInt64 {
        #if DEBUG
        if let world = SimulatedWorld.current { return world.roll() }
        #endif
        return .random(in: 0 ... .max)
    }
}
