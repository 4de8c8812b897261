import Reactor

/// One established session: waits for libpq's socket where libpq would block, and collects what the server
/// answers.
final class Session: ServerSession {
    private let link: LibPQ
    private let watch: DescriptorWatch
    private let copySliceBytesMax: Int
    /// Set when the protocol is in a state that only a new session gets out of.
    private var isSpoiled = false

    private init(_ link: LibPQ, _ watch: DescriptorWatch, copySliceBytesMax: Int) {
        self.link = link
        self.watch = watch
        self.copySliceBytesMax = copySliceBytesMax
    }

    /// Whether another query may be sent.
    var isUsable: Bool { link.isGood && !isSpoiled }

    /// Whether a transaction that the caller began is still open.
    var isInTransaction: Bool { link.isInTransaction }

    /// The server's version as one number, 150018 for 15.18.
    var serverVersion: Int { link.serverVersion }

    /// Whether the idle session still stands; meets an end that came since the last query.
    func isAlive() -> Bool { !isSpoiled && link.isAlive() }

    /// Stops waiting; the socket is closed when the last reference to the session goes.
    func close() { watch.cancel() }

    // MARK: Opening

    /// Carries out libpq's handshake with the first host that suits.
    static func open(
        _ configuration: PostgresConfiguration,
        name: String,
        on loop: EventLoop,
        deadline: Deadline
    ) async throws(PostgresError) -> Session {
        guard let link = LibPQ(connecting: configuration.options(connectionName: name)) else {
            throw .unavailable("out of memory")
        }
        if link.isBad { throw .unavailable(link.errorMessage) }
        // libpq 34.2: after the start, behave as if the first poll had asked to write.
        var interest = Interest.writable
        while true {
            guard let raw = link.socket else { throw .unavailable(link.errorMessage) }
            // A watch a step: the next poll may close this socket and open one of the same number for the
            // next host.
            try await wait(on: raw, for: interest, on: loop, deadline: deadline)
            switch link.continueHandshake() {
            case .wantsRead: interest = .readable
            case .wantsWrite: interest = .writable
            case .failed: throw .unavailable(link.errorMessage)
            case .connected:
                guard let raw = link.socket else { throw .unavailable(link.errorMessage) }
                let watch = try makeWatch(raw, on: loop)
                return Session(link, watch, copySliceBytesMax: configuration.limits.copySliceBytesMax)
            }
        }
    }

    private static func wait(
        on raw: CInt,
        for interest: Interest,
        on loop: EventLoop,
        deadline: Deadline
    ) async throws(PostgresError) {
        let watch = try makeWatch(raw, on: loop)
        defer { watch.cancel() }
        do throws(StreamError) {
            _ = try await watch.wait(for: interest, deadline: deadline)
        } catch .timedOut {
            throw .unavailable("the server did not accept a session in time")
        } catch {
            throw .unavailable("waiting for the server: \(error)")
        }
    }

    private static func makeWatch(_ raw: CInt, on loop: EventLoop) throws(PostgresError) -> DescriptorWatch {
        do throws(SystemError) {
            return try DescriptorWatch(raw: raw, on: loop)
        } catch {
            throw .unavailable(error.description)
        }
    }

    // MARK: Queries

    /// Sends a simple Query and feeds its COPYs; returns after ReadyForQuery.
    func simple(
        _ sql: String,
        copies: [CopyStream],
        deadline: Deadline
    ) async throws(PostgresError) -> [PostgresResult] {
        guard link.send(sql) else { throw .unavailable(link.errorMessage) }
        return try await collect(copies: copies, deadline: deadline)
    }

    /// Sends one statement with parameters; returns after ReadyForQuery.
    func query(
        _ sql: String,
        _ parameters: [String?],
        deadline: Deadline
    ) async throws(PostgresError) -> PostgresResult {
        guard link.send(sql, parameters) else { throw .unavailable(link.errorMessage) }
        let results = try await collect(copies: [], deadline: deadline)
        return results.last ?? PostgresResult(columns: [], rows: [], affected: 0)
    }

    /// Executes a statement that the session has prepared; returns after ReadyForQuery.
    func execute(
        _ name: String,
        _ parameters: [BinaryValue],
        deadline: Deadline
    ) async throws(PostgresError) -> PostgresResult {
        guard link.send(prepared: name, parameters) else { throw .unavailable(link.errorMessage) }
        let results = try await collect(copies: [], deadline: deadline)
        return results.last ?? PostgresResult(columns: [], rows: [], affected: 0)
    }

    /// Takes results until there is none left, which is when ReadyForQuery has come: only then has a commit
    /// happened.
    private func collect(
        copies: [CopyStream],
        deadline: Deadline
    ) async throws(PostgresError) -> [PostgresResult] {
        var results: [PostgresResult] = []
        var failure: ServerError?
        var copiesFed = 0
        var misuse: String?
        _ = try await flush(deadline: deadline)
        while let item = try await nextItem(deadline: deadline) {
            switch item {
            case .result(let result): results.append(result)
            case .failure(let error): failure = failure ?? error
            case .copyIn where copiesFed < copies.count:
                try await feed(copies[copiesFed].bytes, deadline: deadline)
                copiesFed += 1
            case .copyIn:
                misuse = "the query has more COPY statements than the \(copies.count) streams given"
                try await endCopy(failing: "no data was given", deadline: deadline)
            case .unreadable:
                isSpoiled = true
                throw .misuse("COPY TO STDOUT is not read here")
            }
        }
        if !link.isGood { throw .connectionLost(failure?.description ?? link.errorMessage) }
        if let misuse { throw .misuse(misuse) }
        if let failure { throw .server(failure) }
        precondition(copiesFed == copies.count, "every stream belongs to a COPY statement of the query")
        return results
    }

    private func nextItem(deadline: Deadline) async throws(PostgresError) -> LibPQ.Item? {
        while link.isBusy {
            _ = try await wait(for: .readable, deadline: deadline)
            // At the end of the stream PQgetResult reports why, without waiting.
            if !link.consumeInput() { break }
        }
        return link.nextItem()
    }

    // MARK: COPY

    /// Hands over a COPY's data slice by slice, never more than the socket takes: libpq buffers without
    /// limit.
    ///
    /// An error of the server in the middle shows after the end only; until then it drops what comes
    /// (55.2.6).
    private func feed(_ bytes: [UInt8], deadline: Deadline) async throws(PostgresError) {
        var offset = 0
        while offset < bytes.count {
            let end = min(offset + copySliceBytesMax, bytes.count)
            switch link.putCopyData(bytes, offset..<end) {
            case .taken: offset = end
            case .wouldBlock: break
            case .failed: throw .connectionLost(link.errorMessage)
            }
            if try await !flush(deadline: deadline) { break }
        }
        try await endCopy(deadline: deadline)
    }

    private func endCopy(failing reason: String? = nil, deadline: Deadline) async throws(PostgresError) {
        while true {
            let put = link.putCopyEnd(failing: reason)
            if put == .failed { throw .connectionLost(link.errorMessage) }
            let isOpen = try await flush(deadline: deadline)
            if put == .taken || !isOpen { return }
        }
    }

    // MARK: Socket

    /// Sends all that libpq holds; `false` when the server has hung up, whose last words are still to be
    /// read.
    private func flush(deadline: Deadline) async throws(PostgresError) -> Bool {
        while true {
            guard let isDone = link.flush() else { throw .connectionLost(link.errorMessage) }
            if isDone { return true }
            // Reads too: a server that waits for us to read would never read on.
            let ready = try await wait(for: [.readable, .writable], deadline: deadline)
            if ready.contains(.readable), !link.consumeInput() { return false }
        }
    }

    private func wait(for interest: Interest, deadline: Deadline) async throws(PostgresError) -> Interest {
        do throws(StreamError) {
            return try await watch.wait(for: interest, deadline: deadline)
        } catch .timedOut {
            throw .timedOut
        } catch .closed {
            throw .connectionLost("it was closed while the query ran")
        } catch {
            throw .connectionLost("waiting for the server: \(error)")
        }
    }
}
