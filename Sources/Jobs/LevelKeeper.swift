import Analytics
package import Logging
package import Postgres
package import Reactor

/// Makes the rollups of hours and days that are stale and over, from those of minutes and hours.
///
/// Whatever dies in between, nothing is lost or counts twice: a rollup is written as a whole, together with
/// the word that it is not stale any more. Any number of nodes may do so at once; each takes what no other
/// holds. Until a rollup is made, and while it is stale, readers use the finer level.
package struct LevelKeeper: Sendable {
    private let configuration: PostgresConfiguration
    private let limits: JobsLimits
    private let loop: EventLoop
    private let logger: Logger

    /// Keeps the database of `configuration`, on a connection that lasts for one round.
    package init(
        _ configuration: PostgresConfiguration,
        limits: JobsLimits = JobsLimits(),
        loop: EventLoop,
        logger: Logger
    ) {
        var configuration = configuration
        configuration.sessionSetup += ";" + RollupLevel.sessionSetup
        self.configuration = configuration
        self.limits = limits
        self.loop = loop
        self.logger = logger
    }

    /// Makes all that is due, or what there is time for before its task is cancelled.
    ///
    /// - Returns: How many rollups it has made.
    @discardableResult
    package func runRound() async -> Int {
        let connection = PostgresConnection(configuration, name: "levels", loop: loop, logger: logger)
        var made = 0
        do throws(PostgresError) {
            try await connection.ensureConnected(deadline: .after(limits.statement))
            guard try await isReady(on: connection) else { return 0 }
            for level in RollupLevel.allCases {
                while !Task.isCancelled {
                    let count = try await make(level, on: connection)
                    if count == 0 { break }
                    made += count
                }
            }
        } catch {
            logger.debug("rollups of hours and days put off", metadata: ["error": "\(error)"])
        }
        await connection.close()
        return made
    }

    /// Whether all nodes mark what is stale; the first time, everything that there is is marked.
    private func isReady(on connection: PostgresConnection) async throws(PostgresError) -> Bool {
        let result = try await connection.query(
            "SELECT ready_levels()",
            deadline: .after(limits.levels.firstMarking)
        )
        return result.value == "t"
    }

    /// Makes a few rollups in one transaction; returns how many it was.
    private func make(
        _ level: RollupLevel,
        on connection: PostgresConnection
    ) async throws(PostgresError) -> Int {
        let taken = try await connection.simple(
            "BEGIN;" + level.takeSQL(atMost: limits.levels.rollupsPerTransaction),
            deadline: .after(limits.statement)
        )
        var merge = LevelMerge()
        for row in taken.last?.rows ?? [] { merge.add(row) }
        if merge.isDamaged { logger.error("a stored sketch cannot be read and counts as empty") }
        let made = merge.rows()
        _ = try await connection.simple(
            level.writeSQL,
            copies: [made.stream],
            deadline: .after(limits.statement)
        )
        return made.count
    }
}

/// Rollups of one level while they are made of those of the next finer one.
struct LevelMerge {
    private var made: [Int32: Rollup] = [:]
    /// Those of which a part is stale itself.
    private var unready: Set<Int32> = []
    private(set) var isDamaged = false

    /// Adds a row of ``RollupLevel/takeSQL(atMost:)``.
    mutating func add(_ row: [String?]) {
        guard row.count == 5, let ord = row[0].flatMap({ Int32($0) }),
            let events = row[2].flatMap({ Int64($0) })
        else { return }
        if row[1] == "t" {
            unready.insert(ord)
            return
        }
        let sketches = StoredSketches(subjects: row[3], fields: row[4])
        if sketches.isDamaged { isDamaged = true }
        made[ord, default: Rollup()].merge(
            Rollup(count: events, subjects: sketches.subjects, fields: sketches.fields)
        )
    }

    /// For `level_made (ord, events, subjects, fields)`, all that are whole.
    func rows() -> (stream: CopyStream, count: Int) {
        let whole = made.filter { !unready.contains($0.key) }
        var encoder = RowEncoder(columns: 4, capacity: 64 + whole.count * 2_048)
        for (ord, rollup) in whole.sorted(by: { $0.key < $1.key }) {
            encoder.beginRow()
            encoder.append(int32: ord)
            encoder.append(int64: rollup.count)
            encoder.append(sketchesOf: rollup)
        }
        return (encoder.finish(), whole.count)
    }
}
