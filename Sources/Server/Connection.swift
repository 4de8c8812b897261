import HTTP
import Reactor

/// What all connections of a server have in common.
struct ConnectionContext: Sendable {
    let router: Router
    let limits: HTTPLimits
    let inflation: InflateLimits
    let access: AccessControl
    let metrics: ServerMetrics
    let load: ServerLoad
    let accessLog: AccessLog?
    let proxies: TrustedProxies
    /// Whether connections begin with a PROXY header.
    let expectsProxyHeader: Bool
}

/// One client's connection: reads requests, has them answered, writes the answers, in order.
///
/// One task on one loop, straight down; it waits only when the socket has nothing, takes nothing, or an
/// answer is not ready. When no request comes for a while the task ends, which is most of an idle
/// connection's memory, and another one begins with the next bytes. Everything here belongs to that loop.
final class Connection {
    private let context: ConnectionContext
    /// The other end of the socket.
    private let peer: SocketAddress
    /// Who opened the connection: the peer, unless a PROXY header says otherwise.
    private var origin: Client
    /// Who has sent the request at hand.
    private var client: Client
    /// Whose connections this one is counted with; `nil` for a proxy's.
    private(set) var countedAddress: SocketAddress?
    private let io: ConnectionIO
    private let body: BodyReader
    private let date: DateCache
    private var mustClose = false
    private var isHeadRefused = false
    private let nextNumber: () -> UInt64
    private let requestFlush: () -> Void
    private var isFlushRequested = false

    /// Read behind a head that was refused: who sends much more of it does not read.
    private static let lingerHeadBytesMax = 256 << 10

    /// When it will have waited too long for a request; `nil` while there is one.
    private var idleEnd: Deadline?
    /// Whether the PROXY header is still to come.
    private var isLearning: Bool
    /// Whether answers announce the end of the connection and no further request is read.
    private var isDraining: Bool { io.isDraining }

    /// A connection that has just been accepted.
    ///
    /// - Parameters:
    ///   - accepted: Its socket and its peer.
    ///   - countedAddress: Whose connections it has been counted with.
    ///   - context: What it shares with others.
    ///   - pool: The buffers of its loop.
    ///   - date: The time of its loop, for answers.
    ///   - nextNumber: Makes the next request's number.
    ///   - requestFlush: Has ``flushAnswers()`` called when this connection's task next waits.
    init(
        _ accepted: Accepted,
        countedAddress: SocketAddress?,
        context: ConnectionContext,
        pool: BufferPool,
        date: DateCache,
        nextNumber: @escaping () -> UInt64,
        requestFlush: @escaping () -> Void
    ) {
        self.context = context
        self.date = date
        self.nextNumber = nextNumber
        self.requestFlush = requestFlush
        peer = accepted.peer
        origin = Client(address: peer, isLocal: peer.isLoopback)
        client = origin
        self.countedAddress = countedAddress
        isLearning = context.expectsProxyHeader
        io = ConnectionIO(stream: accepted.stream, context: context, pool: pool)
        body = BodyReader(connection: io, inflateLimits: context.inflation)
    }

    /// What a run has come to.
    enum Outcome {
        /// The connection is closed.
        case ended
        /// Nothing has come for a while: it is to be run again ``whenAwake(_:)``.
        case asleep
    }

    /// Serves the connection until it ends, and closes it, or until it falls asleep.
    func run() async -> Outcome {
        // Here rather than stored, where each use would copy it and be checked for exclusivity.
        var head = RequestHead()
        do throws(StreamError) {
            let isWelcome = isLearning ? try await learnOrigin() : true
            reading: while isWelcome, !mustClose {
                switch try await readHead(into: &head) {
                case .request: try await answer(head)
                case .nothing: break reading
                case .silence: return .asleep
                }
            }
            if !io.output.isEmpty { try await io.flush() }
            if mustClose { await io.linger(bytesMax: isHeadRefused ? Self.lingerHeadBytesMax : .max) }
        } catch {
            // The client is gone or does not read: there is nobody to tell.
        }
        io.close()
        return .ended
    }

    /// Calls `body` when there is a reason to run again: bytes, the idle timeout, or the end.
    func whenAwake(_ body: @escaping () -> Void) {
        io.stream.whenReadable(deadline: idleEnd ?? .now(), body)
    }

    /// Has it read no request that does not come now.
    ///
    /// What an idle client has sent already is still answered: it may have arrived a moment ago.
    func drain() {
        io.isDraining = true
        // Also within an answer, which may be one that lasts.
        io.stream.wakeReader()
    }

    /// Ends the connection now, whatever it does.
    func close() {
        io.stream.close()
    }

    // MARK: Reading

    /// Lets the proxy say who the client is; `false` when there is nothing to be served.
    private func learnOrigin() async throws(StreamError) -> Bool {
        defer { isLearning = false }
        guard let header = try await io.readProxyHeader(until: .after(context.limits.headTimeout)) else {
            context.metrics.connectionRefused()
            return false
        }
        guard let address = header.source.address else { return true }
        // Only what both ends of this machine say is from this machine.
        origin = Client(address: address, isLocal: peer.isLoopback && address.isLoopback)
        if context.proxies.contains(address) { return true }
        guard context.load.enter(from: address, context.limits) else {
            context.metrics.reached(.connectionsPerAddress)
            let number = nextNumber()
            refuse(
                Problem(refusing: .connectionsPerAddress, number),
                number: number,
                fields: [("Retry-After", "1")]
            )
            return false
        }
        countedAddress = address
        return true
    }

    private enum Arrival {
        case request
        /// No further request is to be answered.
        case nothing
        /// No request yet, and for so long that the task may end.
        case silence
    }

    /// Reads until a request's head is complete.
    private func readHead(into head: inout RequestHead) async throws(StreamError) -> Arrival {
        var parser = RequestParser(limits: context.limits)
        var deadline: Deadline?
        while true {
            do throws(RequestError) {
                let used = try io.input.withReadable { (input) throws(RequestError) in
                    try parser.parse(input, into: &head)
                }
                if let used {
                    io.input.consume(used)
                    return .request
                }
            } catch {
                refuse(error)
                return .nothing
            }
            if !io.output.isEmpty { try await io.flushReusing() }
            if io.input.isEmpty {
                let arrival = try await waitForRequest()
                if case .request = arrival { continue }
                return arrival
            }
            let end = deadline ?? .after(context.limits.headTimeout)
            deadline = end
            switch await io.fill(until: end) {
            case .success(0): return .nothing
            case .success: continue
            case .failure(.timedOut):
                refuse(.headTimedOut)
                return .nothing
            case .failure(let error): throw error
            }
        }
    }

    /// Reads the first bytes of a request.
    private func waitForRequest() async throws(StreamError) -> Arrival {
        let end = idleEnd ?? io.stream.loop.turnBegan.advanced(by: context.limits.idleTimeout)
        idleEnd = end
        while true {
            switch try io.tryFill() {
            case .bytes:
                idleEnd = nil
                return .request
            case .endOfStream: return .nothing
            // A stream counts as readable until a read has found nothing: a new connection may still be idle.
            case .wouldBlock:
                if isDraining { return .nothing }
                io.releaseBuffers()
                if try await waitForBytes(until: end) == false { return .silence }
            }
        }
    }

    /// Waits for something to read; `false` when nothing has come for a while, and may yet until `end`.
    private func waitForBytes(until end: Deadline) async throws(StreamError) -> Bool {
        let nap = io.stream.loop.turnBegan.advanced(by: context.limits.napTimeout)
        do throws(StreamError) {
            try await io.stream.untilReadable(deadline: min(end, nap))
            return true
        } catch {
            guard error == .timedOut else { throw error }
            if nap < end { return false }
            context.metrics.reached(.idleTimeout)
            throw error
        }
    }

    // MARK: Answering

    private func answer(_ head: RequestHead) async throws(StreamError) {
        let started = io.stream.loop.turnBegan
        client = context.proxies.client(of: origin, head)
        let request: Request
        let response: Response
        switch context.router.match(head) {
        case .handler(let handler, let access, let label, let parameters):
            io.stream.loop.mark(label)
            let verdict = context.access.check(head, from: client, for: access)
            request = Request(
                head: head,
                parameters: parameters,
                peer: client.address,
                principal: verdict.principal,
                number: nextNumber()
            )
            body.begin(head, at: started)
            response = await respond(to: request, verdict, with: handler)
        case .methodNotAllowed(let allow):
            request = plainRequest(head, at: started)
            let status = head.method == .other ? 501 : 405
            var refusal = request.problem(
                status,
                status == 501 ? "unknown_method" : "method_not_allowed",
                "This path answers \(allow)."
            )
            refusal.fields.append(("Allow", allow))
            response = refusal
        case .options(let allow):
            request = plainRequest(head, at: started)
            let fields = [("Allow", allow)] + context.access.preflight(head, allow: allow)
            response = Response(status: 204, contentType: nil, fields: fields, bytes: [])
        case .notFound:
            request = plainRequest(head, at: started)
            response = request.problem(404, "not_found", "There is nothing at this path.")
        }
        context.metrics.answered(status: response.status, after: Deadline.now().duration(since: started))
        defer {
            let bytes = (request.head.bytes.count + body.consumedBytes, io.answerBytes)
            context.accessLog?.note(request, response.status, since: started, bytes: bytes, through: peer)
        }
        try await write(response, to: request)
    }

    private func plainRequest(_ head: RequestHead, at started: Deadline) -> Request {
        body.begin(head, at: started)
        return Request(head: head, parameters: [:], peer: client.address, number: nextNumber())
    }

    private func respond(
        to request: Request,
        _ verdict: AccessControl.Verdict,
        with handler: Handler
    ) async -> Response {
        if case .refused(let refusal) = verdict {
            context.metrics.accessRefused(refusal.status)
            var response = request.problem(refusal.status, refusal.code, refusal.detail)
            response.fields += refusal.fields
            return response
        }
        // Answers to requests pipelined before this one are gathered to be written together, but must not
        // wait for a handler that takes its time.
        if !io.output.isEmpty, !isFlushRequested {
            isFlushRequested = true
            requestFlush()
        }
        var response = ResponseCoding.apply(to: await handler(request, body), for: request.head, io)
        if request.head.value(.origin) != nil {
            response.fields += context.access.sharing(with: request.head, request.principal)
        }
        return response
    }

    /// Writes the answers that are ready.
    func flushAnswers() {
        isFlushRequested = false
        io.flushNow()
    }

    private func write(_ response: Response, to request: Request) async throws(StreamError) {
        decideFate(of: request, after: response)
        io.reserveOutput()
        let before = io.output.count
        var encoded = ResponseHead(
            status: response.status,
            contentType: response.contentType,
            fields: response.fields,
            framing: .none,
            closes: mustClose,
            date: date.bytes
        )
        encoded.announcesKeepAlive = request.head.versionMinor == 0 && !mustClose
        let isHead = request.head.method == .head
        switch response.body {
        case .bytes(let bytes):
            encoded.framing = response.status == 204 || response.status == 304 ? .none : .length(bytes.count)
            encoded.append(to: &io.output, further: { request.appendRequestID(to: &$0) })
            if !isHead { io.output += bytes }
            io.answerBytes = io.output.count - before
            io.countBuffers()
            if io.noteAnswer() {
                try await io.flushReusing()
                await io.makeWay()
            }
        case .stream(let produce):
            defer { io.releaseCoder() }
            let isChunked = request.head.versionMinor >= 1
            if !isChunked { mustClose = true }
            encoded.closes = mustClose
            encoded.framing = isChunked ? .chunked : .untilClose
            encoded.append(to: &io.output, further: { request.appendRequestID(to: &$0) })
            io.answerBytes = io.output.count - before
            try await io.flush()
            if isHead { return }
            let writer = ResponseWriter(io, body, isChunked: isChunked, isCoded: response.isCoded)
            try await produce(writer)
            try await writer.finish()
            if writer.closes { mustClose = true }
            if response.readsBody { leaveBody() }
        }
    }

    /// Decides whether the connection goes on.
    private func decideFate(of request: Request, after response: Response) {
        if response.closes || isDraining || !request.head.keepsAlive { mustClose = true }
        if !response.readsBody { leaveBody() }
    }

    private func leaveBody() {
        body.end()
        if body.hasFailed { mustClose = true }
        if !mustClose, !body.isComplete, !body.discardBuffered() { mustClose = true }
    }

    private func refuse(_ error: RequestError) {
        isHeadRefused = true
        if let limit = ServerLimit(error) { context.metrics.reached(limit) }
        let number = nextNumber()
        refuse(Problem(error, requestID: RequestID(number: number).text), number: number)
    }

    /// Answers instead of what cannot be read or served, and ends the connection.
    private func refuse(_ problem: Problem, number: UInt64, fields: [(String, String)] = []) {
        mustClose = true
        context.metrics.answered(status: problem.status, after: .zero)
        let bytes = problem.json()
        ResponseHead(
            status: problem.status,
            contentType: Problem.contentType,
            fields: fields,
            framing: .length(bytes.count),
            closes: true,
            date: date.bytes
        ).append(to: &io.output) { RequestID.appendField(number: number, to: &$0) }
        io.output += bytes
        context.accessLog?.noteRefusal(number, problem.status, from: origin.address)
    }
}
