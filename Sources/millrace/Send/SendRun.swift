import Glibc
import Reactor
import Synchronization

/// One run of `millrace send`: what reads, what sends, what people see of it, and what ends it.
struct SendRun: Sendable {
    private let sender: Sender
    private let meter: SendMeter
    private let state: SendStateFile?
    private let line: ProgressLine
    /// Inputs that cannot even be opened.
    private let obstacles: [SendInputError]
    private let hasInputs: Bool
    private let start = Deadline.now()
    private let loop: EventLoop

    /// A run that sends what can be read of `inputs`; `reading` is a loop that may wait for files.
    init(
        _ options: SendOptions,
        _ inputs: [SendInput],
        state: SendStateFile?,
        line: ProgressLine,
        reading: EventLoop,
        on loop: EventLoop
    ) {
        obstacles = inputs.compactMap(\.obstacle)
        let inputs = inputs.filter { $0.obstacle == nil }
        hasInputs = !inputs.isEmpty
        let report: @Sendable (String) -> Void = { line.interrupt(with: $0) }
        meter = SendMeter(inputs)
        let places = inputs.map(\.place)
        let source = ChunkSource(
            inputs,
            linesMax: options.linesMax,
            bytesMax: options.bytesMax,
            resuming: state.map { Self.positions(of: places, in: $0.state) },
            meter: meter,
            report: report,
            on: reading
        )
        sender = Sender(
            options,
            source: source,
            on: loop,
            report: report,
            advance: { input, position in state?.note(position, of: places[input]) }
        )
        (self.state, self.line, self.loop) = (state, line, loop)
    }

    private static func positions(of places: [String], in state: SendState) -> [Int: LinePosition] {
        var positions: [Int: LinePosition] = [:]
        for (index, place) in places.enumerated() { positions[index] = state[place] }
        return positions
    }

    /// Only what can be read again from its beginning can be gone on with, and each file has one place where.
    static func checkResumable(_ inputs: [SendInput]) throws(CommandFailure) {
        func refuse(_ reason: String) -> CommandFailure {
            CommandFailure(Exit.usage, "send: --state: \(reason)")
        }
        if inputs.count > SendState.filesMax {
            throw refuse("it remembers \(SendState.filesMax) files at most")
        }
        var places: Set<String> = []
        for input in inputs where input.obstacle == nil {
            if input.size == nil {
                throw refuse("\(input.name) is not a file that can be read again; leave out --state")
            }
            if !places.insert(input.place).inserted { throw refuse("\(input.name) is named twice") }
        }
    }

    /// Returns the program's exit code once every event has its outcome.
    func run() async -> Int32 {
        for obstacle in obstacles { line.interrupt(with: obstacle.description) }
        guard hasInputs else {
            _ = await conclude()
            return Exit.failure
        }
        let signals: Signals
        do throws(SystemError) { signals = try Signals([SIGINT, SIGTERM], on: loop) } catch {
            line.interrupt(with: "no signals: \(error)")
            return Exit.failure
        }
        // All three end below.
        let sending = Task(executorPreference: loop) { await sender.run() }
        let watching = Task(executorPreference: loop) { await watch(signals, sending) }
        let showing = Task(executorPreference: loop) { await show() }
        _ = await sending.value
        showing.cancel()
        signals.close()
        await showing.value
        let signal = await watching.value
        let isRemembered = await conclude()
        if let signal { return Exit.signal(signal) }
        let totals = await sender.totals
        let isDone = await !sender.hasFailed && obstacles.isEmpty && totals.rejected == 0
        return isDone && isRemembered ? Exit.success : Exit.failure
    }

    /// Ends the run at a signal; a second one does not even wait for answers.
    ///
    /// - Returns: The first one; `nil` if there was none.
    private func watch(_ signals: Signals, _ sending: Task<SendTotals, Never>) async -> CInt? {
        guard let signal = await signals.next() else { return nil }
        await sender.end()
        sending.cancel()
        line.interrupt(with: "stopping: the answers under way are waited for; once more ends it at once")
        if await signals.next() != nil {
            _ = await conclude()
            exit(Exit.signal(signal))
        }
        return signal
    }

    /// Prints what has become of the events; returns whether all that is acknowledged is remembered.
    private func conclude() async -> Bool {
        let isRemembered = await state?.finish() ?? true
        line.clear()
        Output.say(await summary(after: Deadline.now().duration(since: start)))
        return isRemembered
    }

    private func summary(after duration: Duration) async -> String {
        var totals = await sender.totals
        totals.unacknowledged = totals.read - totals.acknowledged
        var text = totals.summary(after: duration)
        let skipped = meter.reading.linesSkipped
        if skipped > 0 { text += "; \(SendTotals.grouped(skipped)) lines were acknowledged before" }
        let failed = await sender.inputsFailed + obstacles.count
        if failed > 0 { text += "; not read to the end: \(failed) of the files" }
        return text
    }

    /// Shows how far it is until its task is cancelled.
    private func show() async {
        var pace = SendPace()
        var inputsSkipped = 0
        var nextLog = Deadline.after(ProgressLine.logInterval)
        while !Task.isCancelled {
            let reading = meter.reading
            let totals = await sender.totals
            let elapsed = Deadline.now().duration(since: start)
            pace.note(bytes: reading.bytes, events: totals.acknowledged, at: elapsed)
            if reading.inputsSkipped > inputsSkipped {
                inputsSkipped = reading.inputsSkipped
                pace.restart()
            }
            let progress = SendProgress(
                totals: totals,
                fraction: reading.fraction,
                eventsPerSecond: pace.eventsPerSecond,
                timeLeft: reading.bytesTotal.flatMap { pace.timeLeft(of: $0) }
            )
            if line.isShown {
                line.show(progress)
            } else if nextLog <= .now() {
                nextLog = .after(ProgressLine.logInterval)
                Output.complain(progress.sentence)
            }
            await loop.sleep(for: ProgressLine.interval)
        }
    }
}

extension SendInput {
    /// What tells it from all other inputs, however it is named: its path without symbolic links.
    fileprivate var place: String {
        switch self {
        case .standardInput: name
        case .file(let path): ReplacedFile.resolved(path) ?? path
        }
    }
}
