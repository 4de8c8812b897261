// The whole program from outside: the real `millrace` binary over a real PostgreSQL, spoken to by HTTP,
// signals and SQL, and by nothing else. What holds of one part alone is tested beside that part; here live
// the promises that need all of them: every acknowledged event is in the table once and in the rollups once,
// whatever is killed meanwhile.

import Reactor
import TestSupport
import Testing

/// The parent of all tests of this target, one at a time: each has the machine's processors for itself.
@Suite(.serialized, .timeLimit(.minutes(5))) struct `End to end` {}

/// Something that should have become true and did not.
struct StillWaiting: Error, CustomStringConvertible {
    let description: String
}

/// Asks again and again until it is so; only what is broken ends it otherwise.
func until(
    _ fact: String,
    on loop: EventLoop,
    within limit: Duration = .seconds(120),
    _ check: () async throws -> Bool
) async throws {
    let deadline = Deadline.after(limit)
    while try await !check() {
        try Task.checkCancellation()
        if Deadline.now() >= deadline { throw StillWaiting(description: "after \(limit) still not: \(fact)") }
        await loop.sleep(for: .milliseconds(20))
    }
}
