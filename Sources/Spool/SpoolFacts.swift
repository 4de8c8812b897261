package import Reactor
import Synchronization

/// Why nothing was appended; what was tried may be read back all the same.
package enum SpoolError: Error, Equatable, Sendable {
    /// There is no room, or the disk has refused to give any.
    case full
    /// Too much waits for the disk.
    case overloaded
    /// The disk failed; nothing is known of what was being written.
    case failed(SystemError)
    case closed
}

/// What a spool holds, for statistics.
package struct SpoolFacts: Equatable, Sendable {
    /// Events that have not been drained.
    package var events = 0
    /// Of its files.
    package var bytes = 0
    package var segments = 0
    package var isFull = false
    /// Events, among those, of records that are withheld.
    package var withheldEvents = 0
}

/// Records that follow each other, read to be stored elsewhere.
package struct SpoolBatch: Equatable, Sendable {
    /// Where the batch before ended.
    package let from: UInt64
    /// One past the last sequence, of records that are lost as well.
    package let to: UInt64
    package let records: [SpooledRecord]

    package var events: Int { records.reduce(0) { $0 + $1.events } }
}

/// The facts, for readers on any thread.
final class SharedFacts: Sendable {
    private let facts = Mutex(SpoolFacts())

    var value: SpoolFacts {
        get { facts.withLock { $0 } }
        set { facts.withLock { $0 = newValue } }
    }
}
