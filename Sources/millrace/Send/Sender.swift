import Reactor

/// What `send` can be told.
struct SendOptions: Sendable {
    var server: ServerURL
    var key: String?
    /// Events of a request.
    var linesMax = 5_000
    /// Bytes that end a request's chunk, too.
    var bytesMax = 1 << 20
    /// Requests under way at once.
    var concurrency = 4
    /// Attempts after the first of a chunk.
    var retriesMax = 12
    /// For one request, its answer included.
    var timeout = Duration.seconds(60)

    static let linesLimit = 100_000
    static let concurrencyLimit = 64
    static let retriesLimit = 1_000
}

/// Sends every line of its inputs until the server has answered for it.
///
/// Several senders take chunks from one source; each has its connection and keeps its chunk until there is an
/// answer that adds up. The same lines are sent again after a failure: events that carry an id are stored
/// once all the same. How far each input is acknowledged without a gap is told, for a later run to go on
/// there.
actor Sender {
    private let options: SendOptions
    private let loop: EventLoop
    private let source: ChunkSource
    private let report: @Sendable (String) -> Void
    private let advance: @Sendable (Int, LinePosition) -> Void
    private let pause: @Sendable (EventLoop, Duration) async -> Void
    private var generator = SystemRandomNumberGenerator()
    private(set) var totals = SendTotals()
    private var refusalsShown = 0
    /// The highest number of failures that has been told since something went well.
    private var failuresShown = 0
    private var prefixes: [Int: AcknowledgedPrefix] = [:]
    /// Inputs of which something could not be read.
    private(set) var inputsFailed = 0
    private(set) var hasFailed = false
    /// Nothing is tried again any more.
    private var isEnding = false

    /// Rejected events that are printed one by one.
    static let refusalsShownMax = 20

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// Sends what `source` has.
    ///
    /// `report` takes lines for people. `advance` is told by an input's number how far all of it is
    /// acknowledged, whenever that is further than before. `pause` waits between attempts, and ends early
    /// when its task is cancelled.
    init(
        _ options: SendOptions,
        source: ChunkSource,
        on loop: EventLoop,
        report: @escaping @Sendable (String) -> Void,
        advance: @escaping @Sendable (Int, LinePosition) -> Void = { _, _ in },
        pause: @escaping @Sendable (EventLoop, Duration) async -> Void = { await $0.sleep(for: $1) }
    ) {
        self.options = options
        self.source = source
        self.loop = loop
        self.report = report
        self.advance = advance
        self.pause = pause
    }

    /// Sends everything; returns when each event has its outcome.
    ///
    /// Cancelling ends the pauses.
    nonisolated func run() async -> SendTotals {
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<options.concurrency {
                group.addTask(executorPreference: self.loop) { await self.work() }
            }
        }
        return await totals
    }

    /// Reads no more; chunks under way are finished, without further retries.
    func end() {
        isEnding = true
        source.stop()
    }

    /// One connection's share; on the loop, by the task's preference.
    private nonisolated func work() async {
        let client = HTTPClient(options.server, key: options.key, on: loop)
        defer { client.close() }
        while let chunk = await take() {
            if await sendWhole(chunk, with: client) { await acknowledge(chunk) }
        }
    }

    private nonisolated func take() async -> SendChunk? {
        while true {
            do throws(SendInputError) {
                guard let chunk = try await source.next() else { return nil }
                await note(chunk)
                return chunk
            } catch {
                await note(error)
            }
        }
    }

    private func note(_ chunk: SendChunk) { totals.read += chunk.events }

    /// The other inputs are sent all the same.
    private func note(_ error: SendInputError) {
        inputsFailed += 1
        hasFailed = true
        report(error.description)
    }

    /// Sends a chunk, in parts where it is too large; returns whether all of it is acknowledged.
    private nonisolated func sendWhole(_ chunk: SendChunk, with client: HTTPClient) async -> Bool {
        var parts = [chunk]
        var isWhole = true
        while let part = parts.popLast() {
            switch await send(part, with: client) {
            case .answered(let answer): await note(answer, of: part)
            case .givenUp(let reason):
                await giveUp(part, reason)
                isWhole = false
            case .halved(let first, let second):
                source.limitChunks(toBytes: first.bytes.count)
                parts += [second, first]
            }
        }
        return isWhole
    }

    private enum Outcome: Sendable {
        case answered(SendAnswer)
        case givenUp(reason: String)
        /// Too large in one request.
        case halved(SendChunk, SendChunk)
    }

    private nonisolated func send(_ chunk: SendChunk, with client: HTTPClient) async -> Outcome {
        var retry = SendRetry(retriesMax: options.retriesMax)
        while true {
            switch await attempt(chunk, with: client) {
            case .done(let answer): return .answered(answer)
            case .refused(let reason): return .givenUp(reason: reason)
            case .tooLarge(let reason):
                guard let (first, second) = chunk.halves else { return .givenUp(reason: reason) }
                return .halved(first, second)
            case .again(let reason, let retryAfter):
                guard let duration = await nextPause(&retry, retryAfter, reason) else {
                    return .givenUp(reason: reason)
                }
                await pause(loop, duration)
            }
        }
    }

    private nonisolated func attempt(_ chunk: SendChunk, with client: HTTPClient) async -> SendVerdict {
        do throws(HTTPClientError) {
            let response = try await client.send(
                "POST",
                "/v1/events",
                contentType: "application/x-ndjson",
                body: chunk.bytes,
                deadline: .after(options.timeout)
            )
            return SendVerdict(response, events: chunk.events)
        } catch {
            return .again(reason: error.description, retryAfter: nil)
        }
    }

    /// How long to wait before the next attempt; `nil` to give up, also because everything ends.
    private func nextPause(_ retry: inout SendRetry, _ retryAfter: Duration?, _ reason: String) -> Duration? {
        guard !isEnding, let duration = retry.pause(retryAfter: retryAfter, using: &generator) else {
            return nil
        }
        // The senders meet the same trouble at the same time: it is told once.
        if retry.failures > failuresShown {
            failuresShown = retry.failures
            report("\(options.server): \(reason); retry \(retry.failures) of \(options.retriesMax)")
        }
        return duration
    }

    private func note(_ answer: SendAnswer, of chunk: SendChunk) {
        failuresShown = 0
        totals.add(answer)
        show(answer, of: chunk)
    }

    /// What cannot be sent ends the rest.
    private func giveUp(_ chunk: SendChunk, _ reason: String) {
        totals.unacknowledged += chunk.events
        hasFailed = true
        end()
        let first = chunk.lineNumbers.first ?? 0
        let last = chunk.lineNumbers.last ?? 0
        report("\(chunk.source): lines \(first) to \(last) are not acknowledged: \(reason)")
    }

    private func acknowledge(_ chunk: SendChunk) {
        guard let end = chunk.end else { return }
        let reached = prefixes[chunk.input, default: AcknowledgedPrefix()]
            .acknowledge(chunk.number, endingAt: end)
        if let reached { advance(chunk.input, reached) }
    }

    private func show(_ answer: SendAnswer, of chunk: SendChunk) {
        for refusal in answer.refusals where refusalsShown < Self.refusalsShownMax {
            refusalsShown += 1
            var line = "\(chunk.source):\(chunk.lineNumbers[refusal.index]): \(refusal.code)"
            if !refusal.pointer.isEmpty { line += " at \(refusal.pointer)" }
            if !refusal.detail.isEmpty { line += ": \(refusal.detail)" }
            if let id = refusal.id { line += " (id \(id))" }
            report(line)
        }
    }
}
