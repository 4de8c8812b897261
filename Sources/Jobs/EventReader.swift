import Events
package import Postgres
import Reactor

/// Reads a job's events back from the database, as the lines that workers take.
package struct EventReader: Sendable {
    /// What there is to read.
    package enum Outcome: Equatable, Sendable {
        case events(EventBatch)
        /// More bytes than one job may have.
        case tooLarge
    }

    package let connection: PostgresConnection
    private let limits: JobsLimits

    /// A reader with a connection of its own, so that it holds up no claim.
    package init(connection: PostgresConnection, limits: JobsLimits = JobsLimits()) {
        self.connection = connection
        self.limits = limits
    }

    /// Reads what lies in the job's range of numbers, within its times: only those partitions are looked at.
    ///
    /// The database stops adding lines once the limit is passed, so that no more than that and one event are
    /// held.
    package func read(_ job: LeasedJob) async throws(PostgresError) -> Outcome {
        let deadline = Deadline.after(limits.statement)
        try await connection.ensureConnected(deadline: deadline)
        let bytesMax = limits.dispatch.jobBytesMax
        let result = try await connection.query(
            Self.sql,
            [
                String(job.lo), String(job.hi), Self.timestamp(job.timeMin), Self.timestamp(job.timeMax),
                String(bytesMax),
            ],
            deadline: deadline
        )
        guard let row = result.rows.first, let items = row[0].flatMap({ Int($0) }) else {
            throw .misuse("the events of a job came without a count")
        }
        guard let text = row[1] else { return .events(EventBatch(lines: [], items: 0)) }
        var lines = Array(text.utf8)
        lines.append(UInt8(ascii: "\n"))
        if lines.count > bytesMax { return .tooLarge }
        return .events(EventBatch(lines: lines, items: items))
    }

    private static func timestamp(_ microseconds: Int64) -> String {
        let bounded = min(max(microseconds, Timestamp.range.lowerBound), Timestamp.range.upperBound)
        return Timestamp.text(bounded)
    }

    private static let sql = """
        SELECT count(*), string_agg(line, E'\\n' ORDER BY seq) FROM (
            SELECT seq, line, sum(octet_length(line) + 1) OVER (ORDER BY seq) - octet_length(line) AS start
            FROM (
                SELECT seq, concat('{"ts":', (extract(epoch FROM ts) * 1000000)::bigint,
                        ',"type":', to_json(type),
                        ',"source":', to_json(source), ',"subject":',
                        coalesce(to_json(subject)::text, 'null'),
                        ',"data":', coalesce(data::text, 'null'), '}') AS line
                    FROM events WHERE seq >= $1 AND seq < $2
                        AND ts >= $3 AND ts <= $4
            ) lines
        ) numbered WHERE start <= $5
        """
}
