package import Analytics
import Events
package import Postgres
import Reactor
package import Workers

/// The events of an analysis, read piece by piece in the order of their times.
///
/// Each piece is a query of its own that begins behind the last event of the one before: nothing is held
/// meanwhile, neither a transaction nor more than one piece. Events that come behind the place reached are
/// seen, those before it are not.
package actor AnalysisFeed: JobFeed {
    private let connection: PostgresConnection
    private let needs: AnalysisNeeds
    private let limits: AnalysisFeedLimits
    /// Where the last piece ended, as PostgreSQL writes it.
    private var last: (time: String, key: String)?
    private var isAtEnd = false

    /// Reads what `needs` asks for, through a connection that nobody else uses meanwhile.
    package init(
        _ needs: AnalysisNeeds,
        connection: PostgresConnection,
        limits: AnalysisFeedLimits = AnalysisFeedLimits()
    ) {
        self.needs = needs
        self.connection = connection
        self.limits = limits
    }

    package func next() async -> FeedPiece {
        if isAtEnd { return .end }
        do throws(PostgresError) {
            return try await read()
        } catch {
            return .failed(reason: "its events could not be read: \(error)")
        }
    }

    private func read() async throws(PostgresError) -> FeedPiece {
        try await connection.ensureConnected(deadline: .after(limits.connect))
        let deadline = Deadline.after(limits.statement)
        let (sql, parameters) = statement()
        let rows = try await connection.query(sql, parameters, deadline: deadline).rows
        guard let row = rows.last, let time = row[0], let key = row[1] else {
            isAtEnd = true
            return .end
        }
        last = (time, key)
        var bytes: [UInt8] = []
        for row in rows {
            bytes.append(contentsOf: (row[2] ?? "").utf8)
            bytes.append(UInt8(ascii: "\n"))
        }
        return .bytes(bytes)
    }

    /// A page of rows that ends with the first that passes the limit of bytes, so that it never is empty
    /// before the end.
    private func statement() -> (sql: String, parameters: [String?]) {
        var parameters: [String?] = [
            Timestamp.text(needs.range.lowerBound), Timestamp.text(needs.range.upperBound),
            String(limits.bytesMax),
        ]
        func parameter(_ value: String, _ type: String) -> String {
            parameters.append(value)
            return "$\(parameters.count)::\(type)"
        }
        var conditions = "ts >= $1::timestamptz AND ts < $2::timestamptz"
        if let last {
            let (time, key) = (parameter(last.time, "timestamptz"), parameter(last.key, "uuid"))
            // The first part alone tells which partitions are over.
            conditions += " AND ts >= \(time) AND (ts, key) > (\(time), \(key))"
        }
        if !needs.types.isEmpty {
            conditions += " AND type = ANY (\(parameter(PostgresArray.text(needs.types), "text[]")))"
        }
        if let source = needs.source { conditions += " AND source = \(parameter(source, "text"))" }
        let fields = needs.fields.map { pointer in
            "analysis_field(data, \(parameter(PostgresArray.text(Self.path(pointer)), "text[]")))"
        }
        let sql = """
            SELECT ts, key, line FROM (
                SELECT ts, key, line, sum(octet_length(line) + 1) OVER (ORDER BY ts, key)
                        - octet_length(line) AS start
                FROM (
                    SELECT ts, key, concat('{"ts":', (extract(epoch FROM ts) * 1000000)::bigint,
                            ',"type":', to_json(type), ',"source":', to_json(source), ',"subject":',
                            coalesce(to_json(subject)::text, 'null'),
                            ',"fields":', jsonb_build_array(\(fields.joined(separator: ", "))), '}') AS line
                        FROM events WHERE \(conditions) ORDER BY ts, key LIMIT \(limits.rowsMax)
                ) lines
            ) numbered WHERE start <= $3::bigint ORDER BY ts, key
            """
        return (sql, parameters)
    }

    /// The steps of a JSON pointer (RFC 6901, section 4), as PostgreSQL's paths have them.
    static func path(_ pointer: String) -> [String] {
        pointer.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).dropFirst().map {
            step in
            var bytes: [UInt8] = []
            var isEscaped = false
            for byte in step {
                if isEscaped {
                    bytes.append(byte == UInt8(ascii: "1") ? UInt8(ascii: "/") : UInt8(ascii: "~"))
                    isEscaped = false
                } else if byte == UInt8(ascii: "~") {
                    isEscaped = true
                } else {
                    bytes.append(byte)
                }
            }
            return String(decoding: bytes, as: UTF8.self)
        }
    }
}

/// Bounds of one piece of an analysis' events.
package struct AnalysisFeedLimits: Sendable {
    /// Beyond which a piece ends, with the event that passes it.
    package var bytesMax = 256 << 10
    package var rowsMax = 2_000
    /// One piece's answer: events of other types may have to be passed over for it.
    package var statement = Duration.seconds(300)
    /// For a database that is away; then the analysis is given back.
    package var connect = Duration.seconds(20)

    package init() {}
}
