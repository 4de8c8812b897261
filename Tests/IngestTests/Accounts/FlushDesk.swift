import Postgres
import Reactor
import TestSupport
import Testing

@testable import Ingest

/// Writes flushes of exactly these submissions, and reads the accounts.
struct FlushDesk {
    let installation: Installation
    let stream: Int64
    let flush: Flush
    private let connection: PostgresConnection

    static func with(_ body: (FlushDesk) async throws -> Void) async throws {
        try await Installation.with { installation in
            let stream = try await installation.number(
                "SELECT register_node(gen_random_uuid(), 'test', 1)"
            )
            // Rejects of its submissions are of a day that nobody else has.
            try await installation.sql(
                "SELECT make_reject_day(to_timestamp(\(Self.minute(0) / 1_000_000)))"
            )
            let database = installation.database
            var configuration = database.configuration
            configuration.sessionSetup += FlushStatement.sessionSetup
            let connection = PostgresConnection(
                configuration,
                name: "writer-0",
                loop: database.loop,
                logger: TestCluster.logger
            )
            let flush = Flush(
                stream: Int64(stream),
                connection: connection,
                patience: .seconds(30),
                metrics: IngestMetrics(),
                logger: TestCluster.logger
            )
            let desk = FlushDesk(
                installation: installation,
                stream: Int64(stream),
                flush: flush,
                connection: connection
            )
            do {
                try await body(desk)
                await connection.close()
            } catch {
                await connection.close()
                throw error
            }
        }
    }

    /// A submission of a key's, received in a minute of the day before the tests were written.
    static func submission(_ texts: [String], of key: Int64?, minute: Int64 = 0) -> Submission {
        var submission = Decoded.submission(texts, receivedAt: Self.minute(minute) + 59_999_999)
        submission.sender = key
        return submission
    }

    static func minute(_ number: Int64) -> Int64 { 1_790_000_040_000_000 + number * 60_000_000 }

    /// Stores the submissions in one flush and returns the verdicts.
    ///
    /// Nothing is remembered of earlier ones.
    @discardableResult
    func store(_ submissions: [Submission]) async throws -> [[Verdict]] {
        var plan = FlushPlan(submissions, recent: RecentKeys(capacity: 1))
        _ = try await flush.store(&plan, cuts: false, deadline: TestCluster.deadline)
        return plan.verdicts
    }
}

/// What an account has counted.
struct AccountRow: Equatable {
    var route = "events"
    var key: Int64?
    /// From ``FlushDesk/minute(_:)``.
    var minute: Int64 = 0
    var stored = 0
    var duplicates = 0
    var rejected = 0
    var bytes = 0
}

extension Installation {
    /// All accounts, of all writers together, by minute, route and key.
    func accounts() async throws -> [AccountRow] {
        #expect(try await sql("SELECT * FROM accounts_mismatch") == [Array(repeating: "0", count: 6)])
        let zero = FlushDesk.minute(0)
        return try await sql(
            """
            SELECT route, key_id, (extract(epoch FROM minute) * 1000000)::bigint, stored, duplicates,
                   rejected, bytes FROM accounting ORDER BY minute, route, key_id NULLS FIRST
            """
        ).map { row in
            func number(_ index: Int) throws -> Int { try #require(row[index].flatMap { Int($0) }) }
            return AccountRow(
                route: try #require(row[0]),
                key: row[1].flatMap { Int64($0) },
                minute: (Int64(try number(2)) - zero) / 60_000_000,
                stored: try number(3),
                duplicates: try number(4),
                rejected: try number(5),
                bytes: try number(6)
            )
        }
    }
}

extension [String] {
    /// The bytes of all texts together.
    var byteCount: Int { reduce(0) { $0 + $1.utf8.count } }
}
