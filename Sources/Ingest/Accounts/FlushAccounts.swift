import Events
import Postgres

/// The accounts of one transaction, as arguments of `end_flush`: parallel arrays, an element an account.
struct FlushAccounts: Equatable, Sendable {
    private let shares: [AccountShare]
    /// The position of each row's account, in the order of the rows.
    private let rows: [Int]

    init(_ shares: [AccountShare], rows: [Int]) {
        self.shares = shares
        self.rows = rows
    }

    /// Of ``arrays``: minutes, routes, keys, offered, duplicates, rejected, bytes.
    static let types: [PostgresType] = [.timestamptz, .text, .int8, .int8, .int8, .int8, .int8]

    /// The arrays as parameters.
    var arrays: [BinaryValue] {
        var encoder = RowEncoder(arraysOf: Self.types, capacity: 7 * (20 + 12 * shares.count))
        for share in shares {
            encoder.beginRow()
            encoder.append(timestamp: share.account.minute)
            encoder.append(text: share.account.route.rawValue)
            for number in Self.numbers(share) { encoder.append(int64: number) }
        }
        return encoder.finishArrays()
    }

    /// The arrays as literals.
    var columns: Columns {
        // Neither times nor routes hold what would have to be quoted.
        let times = shares.map { Timestamp.text($0.account.minute) }
        let routes = shares.map(\.account.route.rawValue)
        let numbers = shares.map(Self.numbers)
        func column(_ index: Int) -> String { literal(numbers.map { "\($0[index])" }) }
        return Columns([literal(times), literal(routes)] + (0..<5).map(column))
    }

    private static func numbers(_ share: AccountShare) -> [Int64] {
        [
            share.account.key, Int64(share.offered), Int64(share.duplicates), Int64(share.rejected),
            Int64(share.bytes),
        ]
    }

    private func literal(_ values: [String]) -> String { "'{\(values.joined(separator: ","))}'" }

    /// How many of each account's rows were new: an expression over `added`, the rows that were, by the `seq`
    /// that they have got from `firstSeq` on.
    func added(firstSeq: Int64) -> String {
        switch shares.count {
        case 0: "'{}'"
        case 1: "ARRAY[(SELECT count(*) FROM added)]"
        default:
            // No join: it would be a nested loop, in a session without other joins.
            """
            (SELECT array_agg(n ORDER BY account) FROM (
              SELECT account, sum(n)::bigint AS n FROM (
                SELECT (\(literal(rows.map { "\($0)" }))::int[])[seq - \(firstSeq) + 1] AS account, 1 AS n
                  FROM added
                UNION ALL SELECT i, 0 FROM generate_series(0, \(shares.count - 1)) i) c
              GROUP BY account) s)
            """
        }
    }

    /// An SQL expression for each array.
    struct Columns: Equatable, Sendable {
        let minutes: String
        let routes: String
        let keys: String
        var offered: String
        var stored: String
        let duplicates: String
        let rejected: String
        let bytes: String

        /// Expressions in the order of ``FlushAccounts/types``; all that is offered is stored.
        init(_ expressions: some Collection<String>) {
            let all = Array(expressions)
            precondition(all.count == FlushAccounts.types.count, "an expression for each array")
            minutes = all[0]
            routes = all[1]
            keys = all[2]
            offered = all[3]
            stored = all[3]
            duplicates = all[4]
            rejected = all[5]
            bytes = all[6]
        }

        /// As `end_flush` takes them.
        var sql: String {
            [minutes, routes, keys, offered, stored, duplicates, rejected, bytes].joined(separator: ", ")
        }
    }
}
