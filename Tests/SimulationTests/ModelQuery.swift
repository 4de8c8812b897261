import Events
import Postgres

/// All that the write path asks of PostgreSQL, read from the SQL that it sends.
enum ModelQuery {
    /// Settings and temporary tables of a new session.
    case setup
    case flush(ModelFlush)
    case findFlush(ModelTables.FlushName)
    case openSpool(String, Int64)
    case cutStream(Int64)
    case makeRejectDay(Int64)

    /// Types that the table refuses: in the COPY, and by a constraint.
    static let refusedTypes = ["unreadable": "22P05", "forbidden": "23514"]

    /// Reads a simple Query.
    init(_ sql: String, copies: [CopyStream]) {
        if let flush = ModelFlush(sql, copies: copies) {
            self = .flush(flush)
        } else {
            precondition(sql.hasPrefix("SET TIME ZONE"), "the model does not know this statement: \(sql)")
            self = .setup
        }
    }

    /// Reads a statement with parameters.
    init(_ sql: String, _ parameters: [String?]) {
        let texts = parameters.map { $0 ?? "" }
        let numbers = texts.map { Int64($0) ?? -1 }
        switch sql {
        case "SELECT find_flush($1, $2)":
            self = .findFlush(ModelTables.FlushName(stream: numbers[0], flush: numbers[1]))
        case "SELECT open_spool($1::uuid, $2)": self = .openSpool(texts[0], numbers[1])
        case "SELECT cut_stream($1)": self = .cutStream(numbers[0])
        case "SELECT make_reject_day($1)":
            self = .makeRejectDay(Timestamp.parse(Array(texts[0].utf8).span) ?? -1)
        default: preconditionFailure("the model does not know this statement: \(sql)")
        }
    }

    var writes: Bool {
        if case .setup = self { false } else { true }
    }

    /// Carries it out as a transaction on `tables`, which are worth nothing after an error.
    func run(on tables: inout ModelTables) throws(Refusal) -> [PostgresResult] {
        switch self {
        case .setup: return [Self.none]
        case .flush(let flush): return try flush.run(on: &tables)
        case .findFlush(let name): return [Self.value(tables.findFlush(name) ? "t" : "f")]
        case .openSpool(let spool, let drained):
            return [Self.value("\(tables.openSpool(spool, drained: drained))")]
        case .cutStream(let stream):
            try tables.cutStream(stream)
            return [Self.none]
        case .makeRejectDay(let time):
            tables.rejectDays.insert(time / ModelTables.dayLength)
            return [Self.none]
        }
    }

    fileprivate static let none = PostgresResult(columns: [], rows: [], affected: 0)

    private static func value(_ text: String) -> PostgresResult {
        PostgresResult(columns: ["value"], rows: [[text]], affected: 1)
    }
}

extension ModelQuery: CustomStringConvertible {
    var description: String {
        switch self {
        case .setup: "sets up"
        case .flush(let flush): "\(flush)"
        case .findFlush(let name): "asks after flush \(name.stream)/\(name.flush)"
        case .openSpool(_, let drained): "opens a spool at \(drained)"
        case .cutStream(let stream): "cuts stream \(stream)"
        case .makeRejectDay: "makes a day of rejects"
        }
    }
}

extension ModelFlush: CustomStringConvertible {
    var description: String {
        let name = end([]).map { "\($0.stream)/\($0.flush)" } ?? "none"
        return "\(path) flush \(name) of \(rows.count) rows and \(rejects.count) rejects"
            + (advance.map { ", spool \($0.from)..<\($0.to)" } ?? "")
    }
}

extension ModelFlush {
    fileprivate func run(on tables: inout ModelTables) throws(Refusal) -> [PostgresResult] {
        if let advance { try tables.advanceSpool(advance) }
        for row in rows {
            guard let state = ModelQuery.refusedTypes[row.type] else { continue }
            throw Refusal(sqlState: state, message: "such a row is not taken")
        }
        switch path {
        case .probing: throw Refusal(sqlState: "MR003", message: "undone")
        case .optimistic:
            for row in rows where !add(row, to: &tables) {
                throw Refusal(sqlState: "23505", message: "duplicate key")
            }
            try keepRejects(in: &tables)
            if let call = end(rows) { _ = try tables.endFlush(call) }
            return [ModelQuery.none]
        case .deduplicating:
            let added = rows.filter { row in
                if row.isUndated, !tables.eventKeys.insert(row.id.key).inserted { return false }
                return add(row, to: &tables)
            }
            guard let call = end(added) else { return [ModelQuery.none] }
            if try tables.endFlush(call) { try keepRejects(in: &tables) }
            let ours = rows.filter { tables.events[$0.id] == $0.seq }
            return [
                PostgresResult(columns: ["seq"], rows: ours.map { ["\($0.seq)"] }, affected: ours.count)
            ]
        }
    }

    /// `false` when it is there already.
    private func add(_ row: Row, to tables: inout ModelTables) -> Bool {
        if tables.events[row.id] != nil { return false }
        tables.events[row.id] = row.seq
        tables.contents[row.id] = row.content
        return true
    }

    private func keepRejects(in tables: inout ModelTables) throws(Refusal) {
        for reject in rejects {
            guard tables.rejectDays.contains(reject.receivedAt / ModelTables.dayLength) else {
                throw Refusal(sqlState: "23514", message: "no partition of rejects for the row")
            }
            tables.rejects[reject.requestID, default: 0] += 1
        }
    }
}
