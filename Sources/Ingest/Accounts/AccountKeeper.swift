import CoreMetrics
import Events
package import Logging
package import Postgres
package import Reactor

/// How often the accounts are looked after, and how much of it at a time.
package struct AccountLimits: Sendable {
    /// After which an account's minute becomes a part of its day.
    package var minutesKept = Duration.seconds(30 * 86_400)
    /// Rows that one round makes days of.
    package var foldedPerRoundMax = 5_000
    /// One statement's answer.
    package var statement = Duration.seconds(10)
    /// A check that took long is not repeated before this many times as long has passed.
    ///
    /// So it takes at most a twentieth of one of PostgreSQL's processors.
    package var pausePerCheck = 20

    package init() {}
}

/// By how much the accounts differ from the totals, or from adding up.
package struct AccountMismatch: Equatable, Sendable {
    /// The accounts' sums less the totals.
    package var received: Int64 = 0
    package var stored: Int64 = 0
    package var duplicates: Int64 = 0
    package var rejected: Int64 = 0
    package var bytes: Int64 = 0
    /// How far received is from stored, duplicates and rejected together, over all accounts.
    package var unbalanced: Int64 = 0

    package init() {}

    /// The largest of the differences that count events.
    package var events: Int64 {
        [received, stored, duplicates, rejected, unbalanced].map { Int64(clamping: $0.magnitude) }.max() ?? 0
    }

    fileprivate init?(_ row: [String?]) {
        let numbers = row.compactMap { $0.flatMap { Int64($0) } }
        guard numbers.count == 6 else { return nil }
        received = numbers[0]
        stored = numbers[1]
        duplicates = numbers[2]
        rejected = numbers[3]
        bytes = numbers[4]
        unbalanced = numbers[5]
    }
}

/// Proves again and again that the accounts add up, says so in the metrics, and makes days of old minutes.
///
/// Accounts and totals are written by the same transactions, so any difference is a fault: of this program,
/// or of whoever has changed the tables by hand.
package actor AccountKeeper {
    private let loop: EventLoop
    private let connection: PostgresConnection
    private let limits: AccountLimits
    private let logger: Logger
    private let events = Meter(label: "millrace_accounts_mismatch_events")
    private let bytes = Meter(label: "millrace_accounts_mismatch_bytes")
    private let checkedAt = Meter(label: "millrace_accounts_checked_timestamp_seconds")
    private var last = AccountMismatch()
    private var nextCheck = Deadline.now()
    private var hasFailed = false

    nonisolated package var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// A keeper with a connection of its own; ``close()`` it in the end.
    package init(
        _ database: PostgresConfiguration,
        limits: AccountLimits = AccountLimits(),
        loop: EventLoop,
        logger: Logger
    ) {
        var configuration = database
        configuration.statementTimeout = limits.statement
        connection = PostgresConnection(configuration, name: "accounts", loop: loop, logger: logger)
        self.limits = limits
        self.loop = loop
        self.logger = logger
    }

    package func close() async { await connection.close() }

    /// Does what is due; what cannot be done now is tried again the next time.
    package func runRound() async {
        do throws(PostgresError) {
            try await connection.ensureConnected(deadline: .after(limits.statement))
            if nextCheck <= .now() { _ = try await check() }
            _ = try await fold()
            hasFailed = false
        } catch {
            // Once: whoever waits for the database hears of it from others.
            if !hasFailed { logger.warning("cannot check the accounts", metadata: ["reason": "\(error)"]) }
            hasFailed = true
        }
    }

    /// Compares the accounts with the totals at one moment, and raises or clears the alarm.
    package func check() async throws(PostgresError) -> AccountMismatch {
        let started = Deadline.now()
        defer {
            nextCheck = .after(Deadline.now().duration(since: started) * limits.pausePerCheck)
        }
        let result = try await connection.query(
            "SELECT received, stored, duplicates, rejected, bytes, unbalanced FROM accounts_mismatch",
            deadline: .after(limits.statement)
        )
        guard let found = result.rows.first.flatMap({ AccountMismatch($0) }) else {
            throw .unavailable("the accounts' sums did not come as asked for")
        }
        events.set(found.events)
        bytes.set(Int64(clamping: found.bytes.magnitude))
        checkedAt.set(Double(WallClock.microseconds()) / 1e6)
        note(found)
        return found
    }

    private func note(_ found: AccountMismatch) {
        defer { last = found }
        if found == last { return }
        if found == AccountMismatch() {
            logger.notice("the accounts add up again")
            return
        }
        logger.error(
            "the accounts do not add up",
            metadata: [
                "received": "\(found.received)", "stored": "\(found.stored)",
                "duplicates": "\(found.duplicates)", "rejected": "\(found.rejected)",
                "bytes": "\(found.bytes)", "unbalanced": "\(found.unbalanced)",
            ]
        )
    }

    /// Makes days of minutes that are older than is kept, so many a round; returns how many rows it was.
    package func fold() async throws(PostgresError) -> Int {
        let result = try await connection.query(
            "SELECT fold_accounts(now() - make_interval(secs => $1), $2)",
            ["\(limits.minutesKept.components.seconds)", "\(limits.foldedPerRoundMax)"],
            deadline: .after(limits.statement)
        )
        return result.value.flatMap { Int($0) } ?? 0
    }
}
