import Glibc
import HTTP
import Logging
import Reactor

/// Accepts connections on one loop, serves them and ends them.
actor ConnectionHost {
    private let loop: EventLoop
    private let context: ConnectionContext
    private let logger: Logger
    private var listener: Listener?
    private var connections: [UInt64: Connection] = [:]
    private var accepted: UInt64 = 0
    private var requests: UInt64
    private var isDraining = false
    private var emptied: [CheckedContinuation<Void, Never>] = []

    /// Connections that are accepted before the loop's others get their turn.
    private static let burstMax = 64
    /// How long accepting pauses when descriptors have run out: some connection ends in the meantime.
    private static let exhaustionPause = Duration.milliseconds(100)

    private let pool = BufferPool()
    private let date: DateCache
    private let ledger = WorkLedger()

    init(loop: EventLoop, context: ConnectionContext, numbers: UInt64, logger: Logger) {
        self.loop = loop
        self.context = context
        self.logger = logger
        requests = numbers
        date = DateCache(loop: loop)
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// Begins to accept the connections of `socket`; returns where it listens.
    func listen(on socket: consuming ListeningSocket) throws(SystemError) -> SocketAddress {
        let listener = try Listener(socket, on: loop)
        self.listener = listener
        // Ends when the listener closes.
        Task(executorPreference: loop) { await self.accept(on: listener) }
        return listener.address
    }

    /// The socket that it listens on, for another host.
    func shareSocket() throws(SystemError) -> ListeningSocket {
        guard let listener else { throw SystemError(call: "fcntl", code: EBADF) }
        return try listener.duplicate()
    }

    private func accept(on listener: Listener) async {
        var burst = 0
        while !isDraining {
            do throws(StreamError) {
                admit(try await listener.accept())
                burst += 1
                // Thousands may come at once, and those who are connected are not to wait for them all.
                if burst % Self.burstMax == 0 { await loop.nextTurn() }
            } catch {
                guard case .system(let failure) = error else { return }
                logger.warning("cannot accept connections", metadata: ["error": "\(failure)"])
                await loop.sleep(for: Self.exhaustionPause)
            }
        }
    }

    private func admit(_ newcomer: Accepted) {
        if isDraining {
            refuse(newcomer) { Problem(isStoppingFor: $0) }
            return
        }
        guard context.load.enter(context.limits) else {
            refuse(newcomer, .connections)
            return
        }
        // A proxy's connections are those of many clients.
        let isProxy = context.expectsProxyHeader || context.proxies.contains(newcomer.peer)
        guard isProxy || context.load.enter(from: newcomer.peer, context.limits) else {
            context.load.leave()
            refuse(newcomer, .connectionsPerAddress)
            return
        }
        accepted += 1
        let number = accepted
        // Listed before its task runs, so that a drain that begins now waits for it.
        connections[number] = Connection(
            newcomer,
            countedAddress: isProxy ? nil : newcomer.peer,
            context: context,
            pool: pool,
            date: date,
            nextNumber: { self.nextNumber() },
            requestFlush: { self.flushLater(number) }
        )
        context.metrics.connectionOpened()
        startServing(number)
    }

    private func refuse(_ newcomer: Accepted, _ limit: ServerLimit) {
        context.metrics.reached(limit)
        refuse(newcomer) { Problem(refusing: limit, $0) }
    }

    /// One honest answer, if the socket takes it at once, and the end.
    private func refuse(_ newcomer: Accepted, _ problem: (UInt64) -> Problem) {
        context.metrics.connectionRefused()
        let number = nextNumber()
        let problem = problem(number)
        let body = problem.json()
        var output: [UInt8] = []
        ResponseHead(
            status: 503,
            contentType: Problem.contentType,
            fields: [("Retry-After", "1")],
            framing: .length(body.count),
            closes: true,
            date: date.bytes
        ).append(to: &output) { RequestID.appendField(number: number, to: &$0) }
        // Best effort: nobody can wait for a client that there is no room for. What it has sent already is
        // taken out of the socket, because closing with unread bytes sends a reset.
        var unread = ReadBuffer(capacity: 4096)
        _ = try? newcomer.stream.tryWrite(output + body)
        _ = try? newcomer.stream.tryRead(into: &unread, atMost: 4096)
        newcomer.stream.close()
    }

    /// Starts a connection's task, which ends when the connection does, or falls asleep; `drain` sees to it
    /// that every connection ends.
    nonisolated private func startServing(_ number: UInt64) {
        ledger.begin("connection \(number)") {
            Task(executorPreference: loop) { await self.serve(number) }
        }
    }

    private func serve(_ number: UInt64) async {
        guard let connection = connections[number] else { return }
        let outcome = await connection.run()
        ledger.end()
        if case .asleep = outcome {
            // As in `admit`: the list knows of it meanwhile.
            connection.whenAwake { self.startServing(number) }
            return
        }
        connections[number] = nil
        context.load.leave()
        if let counted = connection.countedAddress { context.load.leave(from: counted, context.limits) }
        context.metrics.connectionClosed()
        if connections.isEmpty {
            for waiter in emptied { waiter.resume() }
            emptied = []
        }
    }

    private func flushLater(_ number: UInt64) {
        // Ends without ever waiting.
        Task(executorPreference: loop) { await self.flush(number) }
    }

    private func flush(_ number: UInt64) {
        connections[number]?.flushAnswers()
    }

    private func nextNumber() -> UInt64 {
        requests += 1
        return requests
    }

    func drain(deadline: Deadline) async {
        isDraining = true
        listener?.close()
        listener = nil
        for connection in connections.values { connection.drain() }
        // Ends at the deadline, or soon after the last connection has.
        let enforcer = Task(executorPreference: loop) { await self.closeAll(at: deadline) }
        await withCheckedContinuation { waiter in
            if connections.isEmpty { waiter.resume() } else { emptied.append(waiter) }
        }
        enforcer.cancel()
        await ledger.settle(on: loop)
    }

    private func closeAll(at deadline: Deadline) async {
        await loop.sleep(until: deadline)
        if Task.isCancelled { return }
        for connection in connections.values {
            context.metrics.reached(.drainTimeout)
            connection.close()
        }
    }
}

extension Problem {
    /// The answer to a connection that `limit` is against, under the number of a request.
    init(refusing limit: ServerLimit, _ number: UInt64) {
        self.init(
            connectionNumber: number,
            limit == .connectionsPerAddress
                ? "All connections that one address may have are taken. Try again shortly."
                : "All connections are taken. Try again shortly."
        )
    }

    /// The answer to a connection that has come too late.
    fileprivate init(isStoppingFor number: UInt64) {
        self.init(connectionNumber: number, "The server is about to stop. Try again shortly.")
    }

    private init(connectionNumber number: UInt64, _ detail: String) {
        self.init(
            status: 503,
            code: "too_many_connections",
            detail: detail,
            requestID: RequestID(number: number).text
        )
    }
}
