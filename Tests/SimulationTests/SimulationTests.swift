// The simulation: the write path from its queue to its spool, several nodes of it, under a scheduler with a
// virtual time, on a model of PostgreSQL and a model of a disk that fail at any step.
//
// World schedules: all loops, all that happens, all chance, on one thread. SimulatedNode runs the real
// Ingestor, WriteQueue, SpoolDrain, Spool and PostgresConnection, kills them and starts them again.
// ModelPostgres reads what they really send (ModelStatement) and carries it out on ModelTables.
// SimulatedClient sends, Book writes down what was acknowledged and compares. A Walk is all of it for one
// seed.

import Reactor
import Testing

@Suite(.timeLimit(.minutes(60))) struct Simulation {
    /// As many seeds as SIMULATION_SEEDS says, from SIMULATION_SEED on.
    private static let seeds: Range<UInt64> = {
        let first = UInt64(Settings.number("SIMULATION_SEED") ?? 1)
        return first..<first + UInt64(Settings.number("SIMULATION_SEEDS") ?? 100)
    }()

    @Test func `stores and counts once what was acknowledged, within bounds, whatever fails`() async throws {
        let outcomes = try await Self.walk(Self.seeds)
        for outcome in outcomes where !outcome.findings.isEmpty { Self.report(outcome) }
        func sum(_ value: (Walk.Outcome) -> Int) -> Int { outcomes.reduce(0) { $0 + value($1) } }
        let summary = """
            \(outcomes.count) walks, \(sum(\.steps)) steps, \(sum(\.acknowledged)) acknowledged \
            (\(sum(\.spooled)) out of the spool), \(sum(\.failed)) not, \(sum(\.stored)) rows, \
            \(sum(\.crashes)) crashes
            """
        if Settings.number("SIMULATION_SEEDS") != nil { print("simulation: \(summary)") }
        #expect(
            sum(\.acknowledged) > 10 * outcomes.count && sum(\.spooled) > outcomes.count,
            "the walks must get somewhere: \(summary)"
        )
    }

    @Test func `takes the same way with the same seed`() async throws {
        let first = try await Self.walk(1..<13)
        let second = try await Self.walk(1..<13)
        #expect(first.map(\.trace.sum) == second.map(\.trace.sum))
        #expect(first.map(\.steps) == second.map(\.steps))
        #expect(Set(first.map(\.trace.sum)).count == first.count, "other seeds, other ways")
    }

    /// SIMULATION_ANNOUNCE has every so many walks announced.
    private static let every = Settings.number("SIMULATION_ANNOUNCE").map { UInt64(max($0, 1)) }

    /// Walks on a thread of their own: the tests' own is not to stand still meanwhile.
    private static func walk(_ seeds: Range<UInt64>) async throws -> [Walk.Outcome] {
        let thread = try EventLoop(name: "simulation")
        let outcomes = await withUnsafeContinuation { continuation in
            thread.post {
                let outcomes = seeds.map { seed in
                    // A trap has no other way to say where it was.
                    if let every, seed % every == 0 { print("simulation: walk \(seed)") }
                    return Walk.take(seed: seed)
                }
                continuation.resume(returning: outcomes)
            }
        }
        thread.stop()
        return outcomes
    }

    private static func report(_ outcome: Walk.Outcome) {
        Issue.record(
            """
            seed \(outcome.seed): \(outcome.findings.count) findings after \(outcome.steps) steps
              \(outcome.findings.prefix(10).joined(separator: "\n  "))
            the last of what happened:
              \(outcome.trace.tail.joined(separator: "\n  "))
            again: SIMULATION_SEED=\(outcome.seed) SIMULATION_SEEDS=1 make test FILTER=Simulation
            """
        )
    }
}
