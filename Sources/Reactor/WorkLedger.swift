import Synchronization

/// Finds, in debug builds, what outlives the one that it was begun for: a connection's tasks and what they
/// wait for.
///
/// All tasks that begin within ``begin(_:_:)``, and all that those begin, hold a task-local value that stands
/// for the owner. Waits on a loop are counted in it by name; that it is still alive some time after the
/// owner's end tells of a task. In release builds there is nothing of this.
package final class WorkLedger: Sendable {
    package init() {}

    #if DEBUG
    @TaskLocal fileprivate static var current: OpenWork?
    private let ended = Mutex<[EndedWork]>([])

    private struct EndedWork: Sendable {
        let name: String
        weak let work: OpenWork?
    }

    /// How long what the owner has begun may take to notice its end.
    private static let patience = Duration.seconds(10)
    #endif

    /// Begins an owner's work: `start` makes its first task.
    package func begin(_ name: @autoclosure () -> String, _ start: () -> Void) {
        #if DEBUG
        Self.$current.withValue(OpenWork(name()), operation: start)
        #else
        start()
        #endif
    }

    /// Says that the owner of the calling task has ended: nothing of it waits for anything any more.
    package func end() {
        #if DEBUG
        guard let work = Self.current else { return }
        let waits = work.waits
        assert(waits.isEmpty, "\(work.name) has ended and still waits for \(waits.joined(separator: ", "))")
        ended.withLock { ended in
            ended.removeAll { $0.work == nil }
            ended.append(EndedWork(name: work.name, work: work))
        }
        #endif
    }

    /// Returns once no task of an owner that has ended is left.
    package func settle(on loop: EventLoop, isolation: isolated (any Actor)? = #isolation) async {
        #if DEBUG
        let deadline = Deadline.after(Self.patience)
        while let left = ended.withLock({ $0.first { $0.work != nil } }) {
            let waits = left.work?.waits ?? []
            assert(
                Deadline.now() < deadline,
                "\(left.name) has left a task behind, which waits for \(waits.joined(separator: ", "))"
            )
            await loop.sleep(for: .milliseconds(5), isolation: isolation)
        }
        #endif
    }
}

/// A wait that is under way, counted in debug builds.
package struct CountedWait: Sendable {
    #if DEBUG
    private let name: String
    private let work: OpenWork?
    #endif

    /// Begins a wait for what `name` says.
    @inline(__always)
    package init(for name: StaticString) {
        #if DEBUG
        self.name = "\(name)"
        work = WorkLedger.current
        work?.count(self.name, 1)
        #endif
    }

    @inline(__always)
    package func end() {
        #if DEBUG
        work?.count(name, -1)
        #endif
    }
}

#if DEBUG
/// What one owner has under way.
private final class OpenWork: Sendable {
    let name: String
    private let counts = Mutex<[String: Int]>([:])

    init(_ name: String) { self.name = name }

    func count(_ wait: String, _ change: Int) {
        counts.withLock { counts in
            let count = counts[wait, default: 0] + change
            counts[wait] = count == 0 ? nil : count
        }
    }

    var waits: [String] { counts.withLock { $0.map { "\($0.value) × \($0.key)" }.sorted() } }
}
#endif
