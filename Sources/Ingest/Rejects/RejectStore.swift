import Events
package import Logging
package import Postgres
package import Reactor

/// The rejects in PostgreSQL, for those who change them.
package struct RejectStore: Sendable {
    private let connection: PostgresConnection

    /// One statement.
    private static let timeout = Duration.seconds(20)
    /// Rejects that one statement deletes.
    static let deletionMax = 10_000

    /// Makes the connection, which nobody else uses; ``close()`` it in the end.
    package init(_ database: PostgresConfiguration, loop: EventLoop, logger: Logger) {
        var configuration = database
        // Rows are found by their numbers; a hash join would read every partition for some hundred of them.
        configuration.sessionSetup += "SET enable_hashjoin = off; SET enable_mergejoin = off;"
        connection = PostgresConnection(configuration, name: "rejects", loop: loop, logger: logger)
    }

    package func close() async { await connection.close() }

    /// A reject with what it takes to decode it again.
    struct Entry: Equatable, Sendable {
        let reject: ReplayedReject
        let decoding: DecodingMode
        let raw: [UInt8]
    }

    /// The next rejects of the filter behind the number `after`, in the order of their numbers.
    ///
    /// At most `countMax`, and no more once they hold `bytesMax`, but always one if there is one.
    func next(
        _ filter: RejectFilter,
        after: Int64,
        countMax: Int,
        bytesMax: Int
    ) async throws(RejectError) -> [Entry] {
        var parameters: [String?] = ["\(after)", "\(bytesMax)"]
        let conditions = filter.conditions(&parameters)
        let rows = try await run(
            """
            SELECT n, (extract(epoch FROM received_at) * 1000000)::bigint, strict, default_source,
                   translate(encode(raw, 'base64'), E'\\n', ''), key_id
              FROM (SELECT *, sum(octet_length(raw)) OVER (ORDER BY n) - octet_length(raw) AS before FROM
                     (SELECT n, received_at, strict, default_source, raw, key_id FROM rejects
                        WHERE n > $1 AND \(conditions) ORDER BY n LIMIT \(countMax)) l) p
              WHERE before < $2 ORDER BY n
            """,
            parameters
        )
        var entries: [Entry] = []
        for row in rows {
            guard row.count == 6, let n = row[0].flatMap({ Int64($0) }),
                let receivedAt = row[1].flatMap({ Int64($0) }),
                let raw = row[4].flatMap({ Base64.decode(Array($0.utf8).span) })
            else { throw .unavailable("a reject cannot be read") }
            entries.append(
                Entry(
                    reject: ReplayedReject(
                        n: n,
                        receivedAt: receivedAt,
                        sender: row[5].flatMap { Int64($0) }
                    ),
                    decoding: DecodingMode(isStrict: row[2] == "t", defaultSource: row[3]),
                    raw: raw
                )
            )
        }
        return entries
    }

    /// Those of the numbers that are still there.
    func present(_ numbers: [Int64]) async throws(RejectError) -> Set<Int64> {
        let rows = try await run(
            "SELECT n FROM rejects WHERE n = ANY ($1::bigint[])",
            [RejectFilter.list(numbers)]
        )
        return Set(rows.compactMap { $0[0].flatMap { Int64($0) } })
    }

    /// Deletes one reject.
    func delete(_ n: Int64, by actor: String, requestID: String) async throws(RejectError) {
        var filter = RejectFilter()
        filter.ids = [n]
        if try await deleteSome(filter, by: actor, requestID: requestID).deleted == 0 { throw .notFound }
    }

    /// Deletes rejects of the filter, the oldest first, each statement with its line in the audit trail.
    ///
    /// Returns how many were found and how many of these were deleted: the others somebody else has taken.
    func deleteSome(
        _ filter: RejectFilter,
        by actor: String,
        requestID: String
    ) async throws(RejectError) -> (found: Int, deleted: Int) {
        let detail = String(decoding: filter.json.bytes, as: UTF8.self)
        var parameters: [String?] = [actor, requestID, detail]
        let conditions = filter.conditions(&parameters)
        let rows = try await run(
            """
            WITH chosen AS MATERIALIZED (
              SELECT received_at, n FROM rejects WHERE \(conditions) ORDER BY n LIMIT \(Self.deletionMax)),
            gone AS (
              DELETE FROM rejects r USING chosen c WHERE r.received_at = c.received_at AND r.n = c.n
                RETURNING r.n),
            noted AS (
              INSERT INTO audit (actor, action, target, detail, request_id)
                SELECT $1, 'reject.delete', 'rejects',
                       $3::jsonb || jsonb_build_object('deleted', count(*)), $2
                  FROM gone HAVING count(*) > 0)
            SELECT (SELECT count(*) FROM chosen), (SELECT count(*) FROM gone)
            """,
            parameters
        )
        guard let row = rows.first, let found = row[0].flatMap({ Int($0) }),
            let deleted = row[1].flatMap({ Int($0) })
        else { throw .unavailable("no count came back") }
        return (found, deleted)
    }

    private func run(_ sql: String, _ parameters: [String?]) async throws(RejectError) -> [[String?]] {
        let deadline = Deadline.after(Self.timeout)
        while true {
            do throws(PostgresError) {
                try await connection.ensureConnected(deadline: deadline)
                return try await connection.query(sql, parameters, deadline: deadline).rows
            } catch {
                // A deadlock with a replay of the same rejects leaves nothing, and is over for the next try.
                if case .server(let refusal) = error, refusal.isRetryable, Deadline.now() < deadline {
                    continue
                }
                throw .unavailable(error.tag)
            }
        }
    }
}
