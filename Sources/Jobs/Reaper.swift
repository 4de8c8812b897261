import CoreMetrics
import Postgres
import Reactor

/// Buries nodes that no longer beat, and ends the leases that they and others have lost.
///
/// Any node may sweep, several at once: expired rows are locked with SKIP LOCKED, and leases end by their
/// tokens. That only a node with steady beats does so is ``LeaseState``'s to decide.
struct Reaper: Sendable {
    /// What one sweep has found.
    struct Sweep: Equatable, Sendable {
        var buried: [String] = []
        var lost = 0
        var overdue = 0
    }

    let connection: PostgresConnection
    let limits: JobsLimits
    private let buried = Counter(label: "millrace_nodes_buried_total")

    init(connection: PostgresConnection, limits: JobsLimits) {
        self.connection = connection
        self.limits = limits
    }

    /// The settings of the connection: a flush of the dead that is still under way is not waited for forever.
    static func configuration(_ base: PostgresConfiguration, limits: JobsLimits) -> PostgresConfiguration {
        var configuration = base
        configuration.sessionSetup += ";SET lock_timeout = \(limits.lease.lock.milliseconds)"
        return configuration
    }

    func sweep(own epoch: String) async throws(PostgresError) -> Sweep {
        var sweep = Sweep()
        let deadline = Deadline.after(limits.statement)
        try await connection.ensureConnected(deadline: deadline)
        while let gone = try await buryOne(except: epoch, deadline: deadline) {
            sweep.buried.append(gone)
            buried.increment()
        }
        let queue = JobQueue(connection: connection, limits: limits)
        while true {
            let failures = try await queue.lostLeases()
            let verdicts = try await queue.fail(failures)
            for failure in failures where verdicts[failure.id] != nil {
                if failure.cause == .lost { sweep.lost += 1 } else { sweep.overdue += 1 }
            }
            if failures.count < limits.lease.lostPerSweepMax { return sweep }
        }
    }

    /// One node a transaction: a tail that cannot be cut now holds up no other.
    private func buryOne(except own: String, deadline: Deadline) async throws(PostgresError) -> String? {
        let sql = """
            WITH expired AS MATERIALIZED (
                SELECT epoch FROM nodes WHERE beat_at + ttl < now() AND epoch <> $1::uuid
                    ORDER BY beat_at LIMIT 1 FOR UPDATE SKIP LOCKED)
            SELECT epoch, bury_node(epoch) FROM expired
            """
        return try await connection.query(sql, [own], deadline: deadline).value
    }
}
