import Events
import Glibc
import Postgres

/// A flush as the model of PostgreSQL reads it from what was really sent: SQL, COPY payloads, parameters.
struct ModelFlush {
    struct Row {
        let id: ModelTables.EventID
        let seq: Int64
        let type: String
        let isUndated: Bool
        /// All else that its sender has given, as it was sent here.
        let content: [UInt8]
    }

    struct Reject {
        let receivedAt: Int64
        let requestID: String
    }

    enum Path {
        case optimistic
        case deduplicating
        /// Finds out whether the rows could be stored.
        case probing
    }

    var path: Path
    var rows: [Row] = []
    var rejects: [Reject] = []
    var advance: AdvanceSpoolCall?
    /// Makes the call of `end_flush`, whose arguments depend on which rows were new.
    var end: (_ added: [Row]) -> EndFlushCall?

    /// Reads a simple Query; `nil` for what is no flush.
    init?(_ sql: String, copies: [CopyStream]) {
        let text = SQLText(sql)
        guard
            sql.hasPrefix("COPY ") || sql.hasPrefix("SELECT advance_spool(")
                || sql.hasPrefix("SELECT end_flush(")
        else { return nil }
        let isStaged = text.find("COPY staging (") != nil
        path = !isStaged ? .optimistic : text.find("MR003") != nil ? .probing : .deduplicating
        advance = text.arguments(of: "advance_spool(").map { AdvanceSpoolCall($0) }
        let arguments = text.arguments(of: "end_flush(")
        end = { added in arguments.map { EndFlushCall($0, added: added) } }
        var rest = copies[...]
        if isStaged || text.find("COPY events (") != nil, let copy = rest.popFirst() {
            rows = BinaryRows.ofCopy(copy.bytes).map { Row($0) }
        }
        if let copy = rest.popFirst() {
            rejects = BinaryRows.ofCopy(copy.bytes).map { fields in
                Reject(receivedAt: fields[0].timestamp, requestID: fields[6].text)
            }
        }
    }

    /// Reads the parameters of `insert_events`.
    init(_ parameters: [BinaryValue]) {
        path = .optimistic
        let arrays = parameters.map { $0.bytes ?? [] }
        let columns = arrays.prefix(12).map { BinaryRows.ofArray($0) }
        rows = columns[0].indices.map { row in Row(columns.map { $0[row] }) }
        let numbers = arrays[12..<18].map { BinaryField(bytes: $0).integer }
        let times = arrays[18..<20].map { $0.isEmpty ? nil : BinaryField(bytes: $0).timestamp }
        let accounts = arrays[22..<29].map { BinaryRows.ofArray($0) }
        let call = EndFlushCall(
            stream: numbers[0],
            flush: numbers[1],
            hi: numbers[2],
            offered: numbers[3],
            stored: numbers[3],
            duplicates: numbers[4],
            rejected: 0,
            bytes: numbers[5],
            first: times[0],
            last: times[1],
            cuts: arrays[20] == [1],
            isFirst: true,
            accounts: accounts[0].indices.map { index in
                EndFlushCall.Share(
                    minute: accounts[0][index].timestamp,
                    route: accounts[1][index].text,
                    key: accounts[2][index].integer,
                    offered: accounts[3][index].integer,
                    stored: accounts[3][index].integer,
                    duplicates: accounts[4][index].integer,
                    rejected: accounts[5][index].integer,
                    bytes: accounts[6][index].integer
                )
            }
        )
        end = { _ in call }
    }
}

extension ModelFlush.Row {
    /// The columns of `events`, and `undated` for one of `staging`.
    init(_ fields: [BinaryField]) {
        id = ModelTables.EventID(ts: fields[1].timestamp, key: fields[0].uuid)
        type = fields[3].text
        seq = fields[10].integer
        isUndated = fields.count > 12 && fields[12].bytes == [1]
        content = [3, 4, 6, 8].flatMap { fields[$0].bytes + [0] }
    }
}

/// The arguments of `advance_spool`.
struct AdvanceSpoolCall {
    let spool: String
    let from: Int64
    let to: Int64
    let stream: Int64
    let flush: Int64

    init(_ arguments: [String]) {
        spool = arguments[0].filter { $0 != "'" }
        let numbers = arguments.dropFirst().map { Int64($0) ?? -1 }
        (from, to, stream, flush) = (numbers[0], numbers[1], numbers[2], numbers[3])
    }
}

/// The arguments of `end_flush`.
struct EndFlushCall {
    struct Share {
        let minute: Int64
        let route: String
        let key: Int64
        let offered: Int64
        let stored: Int64
        let duplicates: Int64
        let rejected: Int64
        let bytes: Int64

        var counts: ModelTables.Counts {
            EndFlushCall.counts(offered, stored, duplicates, rejected, bytes)
        }
    }

    let stream: Int64
    let flush: Int64
    let hi: Int64
    let offered: Int64
    let stored: Int64
    let duplicates: Int64
    let rejected: Int64
    let bytes: Int64
    let first: Int64?
    let last: Int64?
    let cuts: Bool
    let isFirst: Bool
    let accounts: [Share]

    var counts: ModelTables.Counts { Self.counts(offered, stored, duplicates, rejected, bytes) }

    fileprivate static func counts(
        _ offered: Int64,
        _ stored: Int64,
        _ duplicates: Int64,
        _ rejected: Int64,
        _ bytes: Int64
    ) -> ModelTables.Counts {
        ModelTables.Counts(
            received: offered + duplicates + rejected,
            stored: stored,
            duplicates: offered - stored + duplicates,
            rejected: rejected,
            bytes: bytes
        )
    }
}

extension EndFlushCall {
    /// Evaluates SQL expressions, of which there are few kinds.
    init(_ arguments: [String], added: [ModelFlush.Row]) {
        func number(_ index: Int) -> Int64 {
            Int64(arguments[index]) ?? Int64(added.count)
        }
        func time(_ index: Int, _ ofAdded: Int64?) -> Int64? {
            if arguments[index] == "NULL" { return nil }
            guard arguments[index].hasPrefix("'") else { return ofAdded }
            return Self.microseconds(String(arguments[index].split(separator: "'")[0]))
        }
        stream = number(0)
        flush = number(1)
        hi = number(2)
        offered = number(3)
        stored = number(4)
        duplicates = number(5)
        rejected = number(6)
        bytes = number(7)
        first = time(8, added.map(\.id.ts).min())
        last = time(9, added.map(\.id.ts).max())
        cuts = arguments[10] == "true"
        isFirst = arguments[11] == "true"
        let minutes = Self.elements(arguments[13])
        let routes = Self.elements(arguments[14])
        let columns = [15, 16, 17, 18, 19, 20].map { index in
            Self.numbers(arguments[index], accounts: minutes.count, added: added)
        }
        accounts = minutes.indices.map { index in
            Share(
                minute: Self.microseconds(minutes[index]) ?? 0,
                route: routes[index],
                key: columns[0][index],
                offered: columns[1][index],
                stored: columns[2][index],
                duplicates: columns[3][index],
                rejected: columns[4][index],
                bytes: columns[5][index]
            )
        }
    }

    private static func microseconds(_ text: String) -> Int64? { Timestamp.parse(Array(text.utf8).span) }

    /// The elements of the first array literal of an expression.
    private static func elements(_ expression: String) -> [String] {
        let parts = expression.split(separator: "{", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return [] }
        return parts[1].prefix { $0 != "}" }.split(separator: ",").map { String($0) }
    }

    /// A literal, the number of rows that were new, or that number of each account.
    private static func numbers(_ expression: String, accounts: Int, added: [ModelFlush.Row]) -> [Int64] {
        if expression.hasPrefix("'") { return elements(expression).map { Int64($0) ?? -1 } }
        if expression.hasPrefix("ARRAY[") { return [Int64(added.count)] }
        let places = elements(expression).map { Int($0) ?? -1 }
        // ('{0,0,1}'::int[])[seq - FIRST + 1]
        let from = expression.split(separator: "[seq - ", maxSplits: 1)[1].prefix { $0 != " " }
        let firstSeq = Int64(from) ?? -1
        var counts = [Int64](repeating: 0, count: accounts)
        for row in added { counts[places[Int(row.seq - firstSeq)]] += 1 }
        return counts
    }
}

/// SQL that is searched for calls.
struct SQLText {
    private let bytes: [UInt8]

    init(_ sql: String) { bytes = Array(sql.utf8) + [0] }

    func find(_ needle: String) -> Int? {
        bytes.withUnsafeBytes { haystack in
            guard let start = haystack.bindMemory(to: CChar.self).baseAddress,
                let found = strstr(start, needle)
            else { return nil }
            return UnsafePointer(found) - start
        }
    }

    /// The arguments of the first call that begins with `call`, its parenthesis included.
    func arguments(of call: String) -> [String]? {
        guard let start = find(call) else { return nil }
        var arguments: [String] = []
        var depth = 0
        var isQuoted = false
        var argument: [UInt8] = []
        for byte in bytes[(start + call.utf8.count)...] {
            if byte == UInt8(ascii: "'") { isQuoted.toggle() }
            if !isQuoted {
                switch byte {
                case UInt8(ascii: "("), UInt8(ascii: "["): depth += 1
                case UInt8(ascii: ")") where depth == 0:
                    arguments.append(Self.trimmed(argument))
                    return arguments
                case UInt8(ascii: ")"), UInt8(ascii: "]"): depth -= 1
                case UInt8(ascii: ",") where depth == 0:
                    arguments.append(Self.trimmed(argument))
                    argument = []
                    continue
                default: break
                }
            }
            argument.append(byte)
        }
        return nil
    }

    private static func trimmed(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.drop { $0 == 32 || $0 == 10 }, as: UTF8.self)
    }
}

/// A field in PostgreSQL's binary format.
struct BinaryField {
    let bytes: ArraySlice<UInt8>

    init(bytes: some Sequence<UInt8>) { self.bytes = ArraySlice(bytes) }

    var integer: Int64 {
        let value = bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return Int64(bitPattern: value)
    }

    var uuid: UInt128 { bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) } }

    /// Microseconds since 1970.
    var timestamp: Int64 { integer + 946_684_800_000_000 }

    var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// What RowEncoder has written.
enum BinaryRows {
    /// The rows of a COPY payload.
    static func ofCopy(_ bytes: [UInt8]) -> [[BinaryField]] {
        var rows: [[BinaryField]] = []
        var place = 19
        while true {
            let count = BinaryField(bytes: bytes[place..<place + 2]).integer
            place += 2
            if count == 0xFFFF { return rows }
            rows.append((0..<count).map { _ in field(bytes, &place) })
        }
    }

    /// The elements of an array of one dimension.
    static func ofArray(_ bytes: [UInt8]) -> [BinaryField] {
        let count = BinaryField(bytes: bytes[12..<16]).integer
        var place = 20
        return (0..<count).map { _ in field(bytes, &place) }
    }

    private static func field(_ bytes: [UInt8], _ place: inout Int) -> BinaryField {
        let length = Int32(truncatingIfNeeded: BinaryField(bytes: bytes[place..<place + 4]).integer)
        place += 4
        defer { place += Int(max(length, 0)) }
        return BinaryField(bytes: bytes[place..<place + Int(max(length, 0))])
    }
}
