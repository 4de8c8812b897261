import CoreMetrics
package import Logging
package import Postgres
package import Reactor

/// Keeps the rejects within an age and a size: drops whole days, the oldest first, and of the last two days
/// rows.
///
/// Rows still come into the day before: from nodes whose clocks are behind, and from flushes that midnight
/// overtakes. So its partition, and those of the days to come, are never dropped. Any number of nodes may
/// keep the same rejects; one at a time does.
package struct RejectKeeper: Sendable {
    /// Days that a reject is kept, by when it was received; a day is dropped once all of it is older.
    package let daysMax: Int
    /// What the table may take on disk, indexes included, before the oldest rejects go.
    package let bytesMax: Int
    var partitions = PartitionKeeper.rejects
    /// How long a lock is waited for.
    var lockTimeout = Duration.seconds(2)
    /// Rows that one transaction deletes.
    var rowsMax = 5_000

    private let logger: Logger
    private let dropped = Counter(label: "millrace_rejects_dropped_total")
    private let droppedBytes = Counter(label: "millrace_rejects_dropped_bytes_total")

    private static let secondsADay = 86_400
    /// Rows are deleted down to this share, so that not every round has to.
    private static let trimmedPercent = 80
    /// About what a row takes, with its line pointers and index entries.
    private static let rowBytes =
        "(pg_column_size(raw) + octet_length(pointer) + octet_length(detail) + 256)"

    /// Bounds for the table `rejects`.
    package init(daysMax: Int, bytesMax: Int, logger: Logger) {
        precondition(bytesMax > 0, "a table takes some room")
        self.daysMax = daysMax
        self.bytesMax = bytesMax
        self.logger = logger
    }

    /// Rejects that went, and the bytes that they took.
    package struct Dropped: Equatable, Sendable {
        package var count = 0
        package var bytes = 0
    }

    /// Drops what is too old or too much, unless another node is at it.
    ///
    /// - Throws: ``PostgresError``; what had been dropped before stays dropped, and is counted.
    @discardableResult
    package func keep(
        on connection: PostgresConnection,
        deadline: Deadline
    ) async throws(PostgresError) -> Dropped {
        let isOurs = try await partitions.claim(
            lockTimeout: lockTimeout,
            on: connection,
            deadline: deadline
        )
        guard isOurs else { return Dropped() }
        var all = Dropped()
        defer { note(all) }
        do throws(PostgresError) {
            if try await !dropDays(on: connection, into: &all, deadline) {
                try await trim(on: connection, into: &all, deadline)
            }
            try await partitions.release(on: connection, deadline: deadline)
            return all
        } catch {
            try? await partitions.release(on: connection, deadline: deadline)
            throw error
        }
    }

    private func note(_ all: Dropped) {
        if all == Dropped() { return }
        dropped.increment(by: all.count)
        droppedBytes.increment(by: all.bytes)
        logger.notice("dropped rejects", metadata: ["count": "\(all.count)", "bytes": "\(all.bytes)"])
    }

    /// Drops the days that have to go; returns whether what is left is within the bound.
    private func dropDays(
        on connection: PostgresConnection,
        into all: inout Dropped,
        _ deadline: Deadline
    ) async throws(PostgresError) -> Bool {
        let days = try await partitions.partitions(on: connection, deadline: deadline)
        var bytes = days.reduce(0) { $0 + $1.bytes }
        for day in days where day.secondsOver >= Self.secondsADay {
            guard day.secondsOver >= daysMax * Self.secondsADay || bytes > bytesMax else { continue }
            all.count += try await drop(day, on: connection, deadline)
            all.bytes += day.bytes
            bytes -= day.bytes
        }
        return bytes <= bytesMax
    }

    /// Drops a day and returns how many rejects there were in it.
    private func drop(
        _ day: PartitionKeeper.Partition,
        on connection: PostgresConnection,
        _ deadline: Deadline
    ) async throws(PostgresError) -> Int {
        try await partitions.detach(day, on: connection, deadline: deadline)
        // Nobody changes it any more.
        let count = try await connection.query("SELECT count(*) FROM \(day.name)", deadline: deadline)
        try await partitions.drop(day, on: connection, deadline: deadline)
        return count.value.flatMap { Int($0) } ?? 0
    }

    // MARK: Rows

    /// Deletes the oldest rows until what is left is well within the bound.
    ///
    /// Their space is for later rows, and only a dropped day gives it back; so it is the rows that count here
    /// and not the files.
    private func trim(
        on connection: PostgresConnection,
        into all: inout Dropped,
        _ deadline: Deadline
    ) async throws(PostgresError) {
        let held = try await connection.query(
            "SELECT coalesce(sum(\(Self.rowBytes)), 0) FROM rejects",
            deadline: deadline
        )
        guard let total = held.value.flatMap({ Int($0) }), total > bytesMax else { return }
        var excess = total - bytesMax / 100 * Self.trimmedPercent
        while excess > 0 {
            let (count, bytes) = try await deleteOldest(excess, on: connection, deadline)
            if count == 0 { break }
            all.count += count
            all.bytes += bytes
            excess -= bytes
        }
        // At once: what comes meanwhile must not make the files grow for want of a round of autovacuum.
        _ = try await connection.simple("VACUUM rejects", deadline: deadline)
    }

    private func deleteOldest(
        _ excess: Int,
        on connection: PostgresConnection,
        _ deadline: Deadline
    ) async throws(PostgresError) -> (count: Int, bytes: Int) {
        let results = try await connection.simple(
            """
            -- Rows are looked up by their places; a hash join would read the days whole for each batch.
            SET LOCAL enable_hashjoin = off;
            SET LOCAL enable_mergejoin = off;
            WITH oldest AS (
              SELECT received_at, n, \(Self.rowBytes) AS bytes FROM rejects
                ORDER BY received_at, n LIMIT \(rowsMax)),
            chosen AS MATERIALIZED (
              SELECT * FROM (SELECT *, sum(bytes) OVER (ORDER BY received_at, n) - bytes AS before
                FROM oldest) o WHERE before < \(excess)),
            gone AS (
              DELETE FROM rejects r USING chosen c WHERE r.received_at = c.received_at AND r.n = c.n
                RETURNING c.bytes)
            SELECT count(*), coalesce(sum(bytes), 0) FROM gone
            """,
            deadline: deadline
        )
        guard let row = results.last?.rows.first, let count = row[0].flatMap({ Int($0) }),
            let bytes = row[1].flatMap({ Int($0) })
        else { return (0, 0) }
        return (count, bytes)
    }
}
