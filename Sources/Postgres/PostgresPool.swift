package import Logging
package import Reactor

/// Lends connections, one borrower each; who finds none waits in a bounded line, first come first served.
///
/// Connections are made when first needed and made again when they broke, by whoever borrows them next.
package actor PostgresPool {
    private let configuration: PostgresConfiguration
    private let size: Int
    private let name: String
    private let loop: EventLoop
    private let logger: Logger
    private var all: [PostgresConnection] = []
    private var idle: [PostgresConnection] = []
    private var line: WaitLine<PostgresConnection>
    private var isClosed = false

    nonisolated package var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// Makes a pool of at most `size` connections, none of them connected yet.
    package init(
        _ configuration: PostgresConfiguration,
        size: Int,
        name: String,
        loop: EventLoop,
        logger: Logger
    ) {
        precondition(size > 0, "a pool holds at least one connection")
        self.configuration = configuration
        self.size = size
        self.name = name
        self.loop = loop
        self.logger = logger
        line = WaitLine(countMax: configuration.limits.poolWaitersMax)
    }

    /// Connections that nobody uses, those not made yet included.
    package var free: Int { isClosed ? 0 : idle.count + size - all.count }

    /// Borrowers in line.
    package var waiters: Int { line.count }

    /// Lends a connected connection to `body`, which runs where its caller runs.
    ///
    /// A transaction that `body` leaves open is rolled back. `body` must not keep the connection.
    nonisolated package func withConnection<Value>(
        deadline: Deadline,
        _ body: (PostgresConnection) async throws(PostgresError) -> Value
    ) async throws(PostgresError) -> Value {
        let connection = try await borrow(deadline)
        do throws(PostgresError) {
            try await connection.ensureConnected(deadline: deadline)
            let value = try await body(connection)
            await giveBack(connection, deadline)
            return value
        } catch {
            await giveBack(connection, deadline)
            throw error
        }
    }

    /// Runs one statement on any connection; see ``PostgresConnection/query(_:_:deadline:)``.
    nonisolated package func query(
        _ sql: String,
        _ parameters: [String?] = [],
        deadline: Deadline
    ) async throws(PostgresError) -> PostgresResult {
        try await withConnection(deadline: deadline) { connection throws(PostgresError) in
            try await connection.query(sql, parameters, deadline: deadline)
        }
    }

    /// Refuses new borrowers, sends away those in line and closes every connection, borrowed ones too.
    package func close() async {
        isClosed = true
        line.dismissAll()
        let closing = all
        all = []
        idle = []
        for connection in closing { await connection.close() }
    }

    private func borrow(_ deadline: Deadline) async throws(PostgresError) -> PostgresConnection {
        if isClosed { throw .unavailable("the pool \(name) is closed") }
        // The one used last: it is the likeliest to stand, and spare ones may rest.
        if let connection = idle.popLast() { return connection }
        if all.count < size {
            let connection = PostgresConnection(
                configuration,
                name: "\(name)-\(all.count + 1)",
                loop: loop,
                logger: logger
            )
            all.append(connection)
            return connection
        }
        if line.isFull { throw .unavailable("\(line.count) callers wait for the pool \(name)") }
        return try await waitInLine(deadline)
    }

    private func waitInLine(_ deadline: Deadline) async throws(PostgresError) -> PostgresConnection {
        let id = line.nextID()
        // Ends at the deadline, or when this borrower has its connection and cancels it.
        let timer = Task(executorPreference: loop) {
            await self.loop.sleep(until: deadline)
            if !Task.isCancelled { await self.leaveLine(id) }
        }
        defer { timer.cancel() }
        let connection = await withTaskCancellationHandler {
            await withCheckedContinuation { line.join(id, $0) }
        } onCancel: {
            // Ends as soon as the loop has run it.
            Task(executorPreference: loop) { await self.leaveLine(id) }
        }
        guard let connection else {
            throw .unavailable("no connection of the pool \(name) became free in time")
        }
        return connection
    }

    private func leaveLine(_ id: UInt64) { line.leave(id) }

    private func giveBack(_ connection: PostgresConnection, _ deadline: Deadline) async {
        await connection.leaveTransaction(deadline: deadline)
        if isClosed || line.admit(connection) { return }
        idle.append(connection)
    }
}
