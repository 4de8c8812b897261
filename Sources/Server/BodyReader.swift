package import HTTP
package import Reactor

/// Why a request's body could not be read to its end.
package enum BodyError: Error, Equatable, Sendable {
    /// It breaks a rule or a limit: the client is told, and the connection closes.
    case refused(RequestError)
    /// Its content coding is not one of ``BodyCoding``'s.
    case unsupportedCoding
    /// It is compressed and damaged, or grows beyond the limits.
    case inflation(InflateError)
    /// All bodies together would take too much memory: the client is to send it again later.
    case overloaded
    /// The client is gone.
    case disconnected(StreamError)
}

/// Reads one request's body as it arrives.
///
/// Belongs to its connection and is used on its loop only.
package final class BodyReader {
    /// What a wait with a deadline of the handler's own brought.
    package enum Step: Equatable, Sendable {
        case bytes
        case end
        /// Nothing came in time; ask again.
        case nothing
    }

    private let connection: ConnectionIO
    private let inflateLimits: InflateLimits
    private var decoder: BodyDecoder
    private var coding = BodyCoding.identity
    private var inflation: BodyInflation?
    private var framing: BodyFraming
    private var mustInvite = false
    private var received = 0
    /// Of the body as it was sent.
    private(set) var consumedBytes = 0
    private var waited = Duration.zero
    private var started = Deadline.never
    /// Set once the body's framing has broken a rule: what follows cannot be trusted to be a request.
    private(set) var hasFailed = false

    init(connection: ConnectionIO, inflateLimits: InflateLimits) {
        self.connection = connection
        self.inflateLimits = inflateLimits
        framing = .none
        decoder = BodyDecoder(.none, limits: connection.limits, bodyBytesMax: nil)
    }

    /// Gets ready for the body of the request whose `head` was complete at `started`.
    func begin(_ head: RequestHead, at started: Deadline) {
        self.started = started
        framing = head.framing
        decoder = BodyDecoder(head.framing, limits: connection.limits, bodyBytesMax: nil)
        mustInvite = head.expectsContinue
        coding = BodyCoding(head)
        inflation = nil
        (received, consumedBytes) = (0, 0)
        waited = .zero
        hasFailed = false
    }

    /// Whether all of it has come, as it was sent.
    var isComplete: Bool { decoder.isComplete }

    /// Appends some of the body, inflated if need be, to `buffer`; `false` at its end.
    package func next(into buffer: inout [UInt8]) async throws(BodyError) -> Bool {
        try await next(into: &buffer, until: .never) == .bytes
    }

    /// Appends some of the body to `buffer`, or gives up at `deadline` with ``Step/nothing``.
    ///
    /// - Throws: ``BodyError/refused(_:)`` for bad framing, a body that makes no progress for
    ///   `HTTPLimits.bodyProgressTimeout` or comes slower than `bodyBytesPerSecondMin` in the long run.
    package func next(into buffer: inout [UInt8], until deadline: Deadline) async throws(BodyError) -> Step {
        try beginInflation()
        let before = buffer.count
        while true {
            if try take(into: &buffer) {
                if connection.isDue(after: buffer.count - before) { await connection.makeWay() }
                return .bytes
            }
            if decoder.isComplete {
                try finishInflation()
                return .end
            }
            let receivedBefore = received
            if try await fill(until: deadline) == false { return .nothing }
            // What is read may inflate to nothing: empty members of gzip, one after the other.
            if inflation != nil, connection.isDue(after: received - receivedBefore) {
                await connection.makeWay()
            }
        }
    }

    /// The whole body.
    ///
    /// - Throws: ``BodyError/refused(_:)`` with `bodyTooLarge` as soon as it is known to exceed `atMost`
    ///   bytes, ``BodyError/overloaded`` as soon as it does not fit into `HTTPLimits.bufferedBytesMax`;
    ///   before anything is read where the client has said its length. Inflated bytes count. The same with
    ///   `requestTimedOut` when it takes longer than `HTTPLimits.requestTimeout` in all.
    package func collect(atMost: Int) async throws(BodyError) -> [UInt8] {
        var body: [UInt8] = []
        var held = 0
        if case .length(let length) = framing {
            if length > atMost { throw fail(.bodyTooLarge(limit: atMost)) }
            guard connection.holdBody(length) else { throw .overloaded }
            held = length
            // Its reader may write something behind it. What is reserved and not used takes no memory.
            body.reserveCapacity(length + length / 2 + 64)
        }
        let deadline = started.advanced(by: connection.limits.requestTimeout)
        while true {
            switch try await next(into: &body, until: deadline) {
            case .bytes: break
            case .end: return body
            case .nothing: throw fail(.requestTimedOut)
            }
            if body.count > atMost { throw fail(.bodyTooLarge(limit: atMost)) }
            if body.count > held {
                held = body.capacity
                guard connection.holdBody(held) else { throw .overloaded }
            }
        }
    }

    /// Reads nothing for a while; the time does not count as the client's.
    package func pause(for duration: Duration) async {
        await connection.stream.loop.sleep(for: duration)
    }

    /// Asks a client that waits for it to send the body, ahead of an answer that begins before its end.
    package func invite() async throws(BodyError) {
        if !mustInvite { return }
        mustInvite = false
        try check(await connection.invite())
    }

    /// Lets go of what the request needed: an idle connection holds no window to inflate with.
    func end() {
        inflation = nil
        connection.releaseBody()
    }

    /// Passes over what has already come of a body that nobody read; `true` when that was all of it.
    func discardBuffered() -> Bool {
        var unread: [UInt8] = []
        while !decoder.isComplete, !connection.input.isEmpty {
            let before = connection.input.count
            // A refusal shows in `hasFailed`; the answer has been made already.
            try? decode(into: &unread)
            if hasFailed || connection.input.count == before { return false }
            unread.removeAll(keepingCapacity: true)
        }
        return decoder.isComplete
    }

    /// Appends what can be had without waiting; `false` when that is nothing.
    private func take(into buffer: inout [UInt8]) throws(BodyError) -> Bool {
        let before = buffer.count
        while buffer.count == before {
            if inflation != nil {
                if try inflate(into: &buffer) == false { return false }
            } else {
                if decoder.isComplete || connection.input.isEmpty { return false }
                try decode(into: &buffer)
            }
        }
        return true
    }

    private func beginInflation() throws(BodyError) {
        switch coding {
        case .identity: return
        case .compressed(let format):
            if inflation == nil { inflation = BodyInflation(format, limits: inflateLimits) }
        case .unsupported: throw .unsupportedCoding
        }
    }

    /// One step; `false` when it needs more of the body.
    private func inflate(into buffer: inout [UInt8]) throws(BodyError) -> Bool {
        if inflation?.isWaiting == true {
            if decoder.isComplete || connection.input.isEmpty { return false }
            try inflation?.refill { (encoded) throws(BodyError) in try decode(into: &encoded) }
        }
        do throws(InflateError) {
            try inflation?.inflate(into: &buffer)
        } catch {
            if let limit = ServerLimit(error) { connection.metrics.reached(limit) }
            throw .inflation(error)
        }
        return true
    }

    private func finishInflation() throws(BodyError) {
        do throws(InflateError) { try inflation?.finish() } catch { throw .inflation(error) }
    }

    private func decode(into buffer: inout [UInt8]) throws(BodyError) {
        let used: Int
        do throws(RequestError) {
            used = try connection.input.withReadable { (input) throws(RequestError) in
                try decoder.decode(input, into: &buffer)
            }
        } catch {
            throw fail(error)
        }
        connection.input.consume(used)
        consumedBytes += used
    }

    /// Reads from the socket; `false` when `deadline`, the handler's own, came first.
    private func fill(until deadline: Deadline) async throws(BodyError) -> Bool {
        try await invite()
        let start = Deadline.now()
        let patience = start.advanced(by: try patienceLeft())
        let outcome = await connection.fill(until: min(deadline, patience))
        waited += Deadline.now().duration(since: start)
        switch outcome {
        case .success(0): throw fail(.incompleteBody)
        case .success(let count):
            received += count
            return true
        case .failure(.timedOut) where deadline < patience: return false
        case .failure(.timedOut): throw fail(.bodyTimedOut)
        case .failure(let error): throw disconnect(error)
        }
    }

    /// How long the client may take for its next bytes.
    ///
    /// Slow in the long run is as bad as silent, or a few thousand connections that drip would hold the
    /// service. Only waiting counts, not what the handler takes.
    private func patienceLeft() throws(BodyError) -> Duration {
        let limits = connection.limits
        let earned = Duration.seconds(Double(received) / Double(limits.bodyBytesPerSecondMin))
        let left = limits.bodyProgressTimeout + earned - waited
        if left <= .zero { throw fail(.bodyTimedOut) }
        return min(left, limits.bodyProgressTimeout)
    }

    private func check(_ result: Result<Void, StreamError>) throws(BodyError) {
        if case .failure(let error) = result { throw disconnect(error) }
    }

    private func fail(_ error: RequestError) -> BodyError {
        hasFailed = true
        if let limit = ServerLimit(error) { connection.metrics.reached(limit) }
        return .refused(error)
    }

    private func disconnect(_ error: StreamError) -> BodyError {
        hasFailed = true
        return .disconnected(error)
    }
}
