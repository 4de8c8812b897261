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
/// once all the same.
actor Sender {
    private let options: SendOptions
    private let loop: EventLoop
    private let source: ChunkSource
    private let report: @Sendable (String) -> Void
    private let pause: @Sendable (EventLoop, Duration) async -> Void
    private var generator = SystemRandomNumberGenerator()
    private(set) var totals = SendTotals()
    private var refusalsShown = 0
    /// The highest number of failures that has been told since something went well.
    private var failuresShown = 0
    private(set) var hasFailed = false

    /// Rejected events that are printed one by one.
    static let refusalsShownMax = 20

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// Sends what `source` has; `report` takes lines for people, `pause` waits between attempts.
    init(
        _ options: SendOptions,
        source: ChunkSource,
        on loop: EventLoop,
        report: @escaping @Sendable (String) -> Void,
        pause: @escaping @Sendable (EventLoop, Duration) async -> Void = { await $0.sleep(for: $1) }
    ) {
        self.options = options
        self.source = source
        self.loop = loop
        self.report = report
        self.pause = pause
    }

    /// Sends everything; returns when each event has its outcome.
    nonisolated func run() async -> SendTotals {
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<options.concurrency {
                group.addTask(executorPreference: self.loop) { await self.work() }
            }
        }
        return await totals
    }

    /// One connection's share; on the loop, by the task's preference.
    private nonisolated func work() async {
        let client = HTTPClient(options.server, key: options.key, on: loop)
        defer { client.close() }
        while let chunk = await take() {
            await finish(chunk, send(chunk, with: client))
        }
    }

    private nonisolated func take() async -> SendChunk? {
        do throws(SendInputError) {
            guard let chunk = try await source.next() else { return nil }
            await note(chunk)
            return chunk
        } catch {
            await fail(error.description)
            return nil
        }
    }

    private func note(_ chunk: SendChunk) { totals.read += chunk.events }

    private enum Outcome: Sendable {
        case answered(SendAnswer)
        case givenUp(reason: String)
    }

    private nonisolated func send(_ chunk: SendChunk, with client: HTTPClient) async -> Outcome {
        var retry = SendRetry(retriesMax: options.retriesMax)
        while true {
            let verdict = await attempt(chunk, with: client)
            guard case .again(let reason, let retryAfter) = verdict else {
                if case .done(let answer) = verdict { return .answered(answer) }
                if case .refused(let reason) = verdict { return .givenUp(reason: reason) }
                continue
            }
            guard let duration = await nextPause(&retry, retryAfter, reason) else {
                return .givenUp(reason: reason)
            }
            await pause(loop, duration)
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

    /// How long to wait before the next attempt; `nil` to give up, also because another chunk has been given
    /// up.
    private func nextPause(_ retry: inout SendRetry, _ retryAfter: Duration?, _ reason: String) -> Duration? {
        guard !hasFailed, let duration = retry.pause(retryAfter: retryAfter, using: &generator) else {
            return nil
        }
        // The senders meet the same trouble at the same time: it is told once.
        if retry.failures > failuresShown {
            failuresShown = retry.failures
            report("\(options.server): \(reason); retry \(retry.failures) of \(options.retriesMax)")
        }
        return duration
    }

    private func finish(_ chunk: SendChunk, _ outcome: Outcome) {
        switch outcome {
        case .answered(let answer):
            failuresShown = 0
            totals.add(answer)
            show(answer, of: chunk)
        case .givenUp(let reason):
            totals.unacknowledged += chunk.events
            let first = chunk.lineNumbers.first ?? 0
            let last = chunk.lineNumbers.last ?? 0
            fail("\(chunk.source): lines \(first) to \(last) are not acknowledged: \(reason)")
        }
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

    /// Reads no more; chunks under way are finished, without further retries.
    private func fail(_ message: String) {
        hasFailed = true
        source.stop()
        report(message)
    }
}
