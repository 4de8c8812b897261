// The only file that calls PQ*. Pointers of libpq live here and never leave: Swift values go in and come out.

import CPostgres

/// One connection of libpq in nonblocking mode; no call of it waits, but for the lookup of host names at the
/// start.
///
/// Not Sendable: it belongs to the ``PostgresConnection`` that made it, and is closed when the last reference
/// goes.
final class LibPQ {
    // Sound because: PQconnectStartParams made it, only this object uses it, and deinit frees it once.
    private let handle: OpaquePointer

    /// What a step of the handshake needs next.
    enum Handshake {
        case wantsRead
        case wantsWrite
        case connected
        case failed
    }

    /// What became of bytes that were offered to libpq's output buffer.
    enum Put {
        case taken
        case wouldBlock
        case failed
    }

    /// What one PQgetResult brought.
    enum Item {
        case result(PostgresResult)
        case failure(ServerError)
        case copyIn
        /// COPY TO STDOUT or a replication stream, which nothing here reads.
        case unreadable
    }

    /// Begins to connect; `nil` only when memory has run out.
    ///
    /// - Parameter options: keyword and value pairs; the value of `dbname` may be a URI or a conninfo string,
    /// whose
    ///   settings replace those before it and yield to those after it (libpq 34.1.1, expand_dbname).
    init?(connecting options: [(keyword: String, value: String)]) {
        let handle = Self.withCStrings(options.map(\.keyword)) { keywords in
            Self.withCStrings(options.map(\.value)) { values in
                PQconnectStartParams(keywords, values, 1)
            }
        }
        guard let handle else { return nil }
        self.handle = handle
        // Notices go nowhere: client_min_messages is warning, and libpq would print them on standard error.
        PQsetNoticeReceiver(handle, { _, _ in }, nil)
    }

    deinit {
        PQfinish(handle)
    }

    /// The socket's number now; it may change between two steps of the handshake (several hosts).
    var socket: CInt? {
        let raw = PQsocket(handle)
        return raw < 0 ? nil : raw
    }

    /// Whether libpq believes that the connection stands.
    var isGood: Bool { PQstatus(handle) == CONNECTION_OK }

    /// Whether the connection has failed, at once for a malformed connection string.
    var isBad: Bool { PQstatus(handle) == CONNECTION_BAD }

    /// The last failure's text, without line ends; it never holds a password.
    var errorMessage: String {
        guard let text = PQerrorMessage(handle) else { return "unknown" }
        return Self.oneLine(String(cString: text))
    }

    /// Whether a transaction block is open, failed or not.
    var isInTransaction: Bool {
        let status = PQtransactionStatus(handle)
        return status == PQTRANS_INTRANS || status == PQTRANS_INERROR
    }

    /// The server's version as one number, 150018 for 15.18.
    var serverVersion: Int { Int(PQserverVersion(handle)) }

    /// Takes the handshake one step further.
    func continueHandshake() -> Handshake {
        switch PQconnectPoll(handle) {
        case PGRES_POLLING_OK: PQsetnonblocking(handle, 1) == 0 ? .connected : .failed
        case PGRES_POLLING_READING: .wantsRead
        case PGRES_POLLING_WRITING: .wantsWrite
        default: .failed
        }
    }

    /// Whether an idle connection still stands: meets an end of stream that came meanwhile, without waiting.
    func isAlive() -> Bool {
        // The first call may read the server's farewell only, the second meets the end of the stream behind
        // it.
        PQconsumeInput(handle) == 1 && PQconsumeInput(handle) == 1 && isGood
    }

    // MARK: Sending

    /// Queues a simple Query.
    func send(_ sql: String) -> Bool { PQsendQuery(handle, sql) == 1 }

    /// Queues an extended query with text parameters and text results.
    func send(_ sql: String, _ parameters: [String?]) -> Bool {
        Self.withCStrings(parameters) { values in
            PQsendQueryParams(handle, sql, CInt(parameters.count), nil, values, nil, nil, 0) == 1
        }
    }

    /// Queues the execution of a statement that the session has prepared, with parameters in binary format.
    func send(prepared name: String, _ parameters: [BinaryValue]) -> Bool {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(parameters.reduce(1) { $0 + ($1.bytes?.count ?? 0) })
        for parameter in parameters { bytes += parameter.bytes ?? [] }
        // So that empty values have an address: one without is a null.
        bytes.append(0)
        let lengths = parameters.map { CInt($0.bytes?.count ?? 0) }
        let formats = [CInt](repeating: 1, count: parameters.count)
        return bytes.withUnsafeBytes { buffer in
            var offset = 0
            let values = parameters.map { parameter -> UnsafePointer<CChar>? in
                guard let count = parameter.bytes?.count else { return nil }
                defer { offset += count }
                // Sound because: offsets stay within the buffer, and libpq copies before it returns.
                return buffer.baseAddress?.advanced(by: offset).assumingMemoryBound(to: CChar.self)
            }
            return PQsendQueryPrepared(handle, name, CInt(parameters.count), values, lengths, formats, 0) == 1
        }
    }

    /// Sends what is queued as far as the socket takes it: `true` all of it, `false` not yet, `nil` failed.
    func flush() -> Bool? {
        switch PQflush(handle) {
        case 0: true
        case 1: false
        default: nil
        }
    }

    /// Queues a slice of a COPY's data.
    func putCopyData(_ bytes: [UInt8], _ range: Range<Int>) -> Put {
        let outcome = bytes.withUnsafeBytes { buffer in
            // Sound because: rebasing checks the bounds, and libpq copies the bytes before it returns.
            let slice = UnsafeRawBufferPointer(rebasing: buffer[range])
            return PQputCopyData(
                handle,
                slice.baseAddress?.assumingMemoryBound(to: CChar.self),
                CInt(slice.count)
            )
        }
        return Self.put(outcome)
    }

    /// Ends a COPY; with a reason, the server fails it.
    func putCopyEnd(failing reason: String? = nil) -> Put { Self.put(PQputCopyEnd(handle, reason)) }

    private static func put(_ outcome: CInt) -> Put {
        switch outcome {
        case 1: .taken
        case 0: .wouldBlock
        default: .failed
        }
    }

    // MARK: Receiving

    /// Reads what has arrived; `false` when the connection is gone.
    func consumeInput() -> Bool { PQconsumeInput(handle) == 1 }

    /// Whether the next ``nextItem()`` would have to wait.
    var isBusy: Bool { PQisBusy(handle) == 1 }

    /// The next result, or `nil` after ReadyForQuery; to be called only when not ``isBusy``.
    func nextItem() -> Item? {
        guard let result = PQgetResult(handle) else { return nil }
        // Every value is copied out before the result is freed.
        defer { PQclear(result) }
        switch PQresultStatus(result) {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: return .result(Self.values(of: result))
        case PGRES_COPY_IN: return .copyIn
        case PGRES_COPY_OUT, PGRES_COPY_BOTH: return .unreadable
        default: return .failure(Self.error(of: result))
        }
    }

    private static func values(of result: OpaquePointer) -> PostgresResult {
        let columnCount = PQnfields(result)
        let columns = (0..<columnCount).map { String(cString: PQfname(result, $0)) }
        let rows = (0..<PQntuples(result)).map { row in
            (0..<columnCount).map { column in value(of: result, row, column) }
        }
        let affected = PQcmdTuples(result).flatMap { Int(String(cString: $0)) } ?? 0
        return PostgresResult(columns: columns, rows: rows, affected: affected)
    }

    private static func value(of result: OpaquePointer, _ row: CInt, _ column: CInt) -> String? {
        if PQgetisnull(result, row, column) == 1 { return nil }
        // Sound because: libpq keeps PQgetlength bytes there until PQclear.
        let bytes = UnsafeRawBufferPointer(
            start: PQgetvalue(result, row, column),
            count: Int(PQgetlength(result, row, column))
        )
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func error(of result: OpaquePointer) -> ServerError {
        func field(_ code: Unicode.Scalar) -> String? {
            PQresultErrorField(result, CInt(code.value)).map { String(cString: $0) }
        }
        // The letters are those of the protocol's error fields (postgres_ext.h, PG_DIAG_*).
        return ServerError(
            sqlState: field("C") ?? "",
            severity: field("V") ?? field("S") ?? "",
            message: field("M") ?? oneLine(String(cString: PQresultErrorMessage(result))),
            detail: field("D"),
            hint: field("H"),
            schema: field("s"),
            table: field("t"),
            column: field("c"),
            constraint: field("n")
        )
    }

    // MARK: Strings for C

    /// Lends `strings` as the null-terminated array of C strings that libpq takes.
    ///
    /// One flat buffer and offsets into it: pointers taken from each string on its own would not outlive
    /// their closures.
    private static func withCStrings<Outcome>(
        _ strings: [String?],
        _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Outcome
    ) -> Outcome {
        var bytes: [CChar] = []
        var offsets: [Int?] = []
        for string in strings {
            offsets.append(string == nil ? nil : bytes.count)
            guard let string else { continue }
            for byte in string.utf8 { bytes.append(CChar(bitPattern: byte)) }
            bytes.append(0)
        }
        return bytes.withUnsafeBufferPointer { buffer in
            var pointers = offsets.map { offset in offset.flatMap { buffer.baseAddress?.advanced(by: $0) } }
            pointers.append(nil)
            // Sound because: both arrays live until `body` returns, and libpq keeps copies only.
            return pointers.withUnsafeBufferPointer { body($0.baseAddress) }
        }
    }

    private static func oneLine(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).joined(separator: "; ")
    }
}
