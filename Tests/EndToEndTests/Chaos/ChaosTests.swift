// The fault harness: seeded rounds in which the real program and a real PostgreSQL are killed, stopped and
// cut off at any moment while clients send, and the comparison of what was acknowledged with what is there.
//
// ChaosPlan draws a round from its seed; ChaosRound runs it: ChaosNode keeps the services running,
// ChaosSender and ChaosRequest send, ChaosFaults and ChaosLink break, ChaosBook writes down and compares.
// docs/RELIABILITY.md says what it has been shown to find.

import Reactor
import Synchronization
import TestSupport
import Testing

/// Some rounds at once: most of a round is a wait for leases to run out.
struct ChaosBatch: Sendable, CustomTestStringConvertible {
    let seeds: [UInt64]

    /// CHAOS_ROUNDS rounds, the first with seed CHAOS_SEED, CHAOS_JOBS at a time; by default two of the kind
    /// in which no lease has to run out.
    static let all: [ChaosBatch] = {
        guard let rounds = Environment.number("CHAOS_ROUNDS") else { return [ChaosBatch(seeds: [5, 7])] }
        let first = UInt64(Environment.number("CHAOS_SEED") ?? 1)
        let seeds = Array(first..<first + UInt64(rounds))
        let jobs = max(Environment.number("CHAOS_JOBS") ?? 1, 1)
        return stride(from: 0, to: seeds.count, by: jobs).map {
            ChaosBatch(seeds: Array(seeds[$0..<min($0 + jobs, seeds.count)]))
        }
    }()

    var testDescription: String { "seeds \(seeds)" }
}

extension `End to end` {
    @Suite struct Chaos {
        @Test(arguments: ChaosBatch.all)
        func `loses nothing and counts nothing twice, whatever is killed, stopped or cut off`(
            batch: ChaosBatch
        ) async throws {
            let began = Deadline.now()
            try await withThrowingTaskGroup(of: (ChaosPlan, ChaosRound.Outcome).self) { group in
                for (slot, seed) in batch.seeds.enumerated() {
                    let loop = try ChaosLoops.loop(slot)
                    group.addTask { (ChaosPlan(seed: seed), await Self.run(seed: seed, on: loop)) }
                }
                for try await (plan, outcome) in group {
                    Self.report(plan, outcome, after: Deadline.now().duration(since: began))
                }
            }
        }

        private static func run(seed: UInt64, on loop: EventLoop) async -> ChaosRound.Outcome {
            do {
                return try await OnLoop(loop).run { try await ChaosRound.run(seed: seed, on: loop) }
            } catch {
                return ChaosRound.Outcome(summary: "no comparison", findings: ["\(error)"])
            }
        }

        private static func report(_ plan: ChaosPlan, _ outcome: ChaosRound.Outcome, after time: Duration) {
            if Environment.number("CHAOS_ROUNDS") != nil {
                print("chaos: \(plan.kind.rawValue) seed \(plan.seed), \(time.seconds) s: \(outcome.summary)")
            }
            if outcome.findings.isEmpty { return }
            let shown = outcome.findings.prefix(25).joined(separator: "\n  ")
            Issue.record(
                """
                \(outcome.findings.count) findings, \(outcome.summary)
                \(plan)
                  \(shown)
                the same round again: make chaos CHAOS_ROUNDS=1 CHAOS_SEED=\(plan.seed)
                """
            )
        }
    }
}

/// The loops of rounds that run at once; they last as long as the process, for children die with the thread
/// that has started them.
private enum ChaosLoops {
    private static let loops = Mutex<[EventLoop]>([])

    static func loop(_ slot: Int) throws -> EventLoop {
        try loops.withLock { loops in
            while loops.count <= slot { loops.append(try EventLoop(name: "chaos-\(loops.count)")) }
            return loops[slot]
        }
    }
}
