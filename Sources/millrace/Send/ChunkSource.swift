import Reactor
import Synchronization

/// Reads the inputs one after another and cuts them into chunks, for any number of senders.
///
/// Its loop is its own, because reading a file or a terminal makes it wait. A chunk is cut when it is full,
/// at the end of an input, and when its first line has waited ``lingerMax`` for others.
actor ChunkSource {
    /// How long a line may wait for others, when they come in slowly.
    static let lingerMax = Duration.seconds(1)
    /// How long the end of the other senders may go unnoticed while nothing comes in.
    private static let lookInterval = Duration.milliseconds(250)

    private let loop: EventLoop
    private let linesMax: Int
    private let bytesMax: Atomic<Int>
    private let inputs: [SendInput]
    /// Where each input goes on, by its number; `nil` when nobody wants to go on anywhere later either.
    private let resuming: [Int: LinePosition]?
    private let meter: SendMeter
    private let report: @Sendable (String) -> Void
    private var opened = 0
    private var current: OpenInput?
    /// What has ended an input whose lines up to there are given away first.
    private var failure: SendInputError?
    /// Bytes of the inputs that have ended.
    private var bytesBefore = 0
    private let isStopped = Atomic<Bool>(false)

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private struct OpenInput: ~Copyable {
        /// Its number among the inputs.
        let index: Int
        let size: Int?
        var reader: InputReader
        var chunker: LineChunker
        /// For those who want to go on behind a chunk later.
        var digest: TextDigest?
        /// What was acknowledged of it earlier, until its beginning turns out to be the same.
        var unproven: LinePosition?
        var buffer = ReadBuffer(capacity: InputReader.readBytes)
        /// When the first line of the chunk was read.
        var startedAt = Deadline.never
        var chunks = 0
    }

    private enum Filling: Sendable {
        /// Lines to send, if any.
        case chunk(SendChunk?, isLast: Bool)
        /// It does not begin as it did when some of it was acknowledged.
        case changed
    }

    /// A source of all lines of `inputs`.
    ///
    /// `resuming` says, by the number of an input, what is left out because it was acknowledged earlier; with
    /// it each chunk says where it ends. An input that has changed since is sent from its beginning, and
    /// `report` is told so.
    init(
        _ inputs: [SendInput],
        linesMax: Int,
        bytesMax: Int,
        resuming: [Int: LinePosition]? = nil,
        meter: SendMeter = SendMeter(),
        report: @escaping @Sendable (String) -> Void = { _ in },
        on loop: EventLoop
    ) {
        self.inputs = inputs
        self.linesMax = linesMax
        self.bytesMax = Atomic(bytesMax)
        self.resuming = resuming
        self.meter = meter
        self.report = report
        self.loop = loop
    }

    /// Ends the chunks: from now on ``next()`` returns `nil`.
    nonisolated func stop() {
        isStopped.store(true, ordering: .relaxed)
    }

    /// Cuts chunks of fewer bytes from now on.
    nonisolated func limitChunks(toBytes bytes: Int) {
        bytesMax.min(max(1, bytes), ordering: .relaxed)
    }

    /// The next chunk; `nil` after the last.
    ///
    /// - Throws: why an input cannot be read on, after the chunks of what could be read of it; the call after
    ///   that goes on with the next input.
    func next() throws(SendInputError) -> SendChunk? {
        if let failure = failure.take() { throw failure }
        while !isStopped.load(ordering: .relaxed) {
            if current == nil {
                if opened == inputs.count { return nil }
                opened += 1
                current = try open(opened - 1, expecting: resuming?[opened - 1])
            }
            guard var input = current.take() else { return nil }
            switch fillOrFail(&input) {
            case .chunk(let chunk, let isLast):
                if isLast { close(input) } else { current = consume input }
                if let chunk { return chunk }
                if let failure = failure.take() { throw failure }
            case .changed:
                let name = inputs[input.index].name
                report("\(name): has changed since lines of it were acknowledged; all are sent")
                current = try open(input.index, expecting: nil)
            }
        }
        return nil
    }

    private func open(_ index: Int, expecting: LinePosition?) throws(SendInputError) -> OpenInput {
        let input = inputs[index]
        return OpenInput(
            index: index,
            size: input.size,
            reader: try InputReader(input),
            chunker: LineChunker(
                source: input.name,
                linesMax: linesMax,
                bytesMax: bytesMax.load(ordering: .relaxed),
                skippingBytes: expecting?.bytes ?? 0
            ),
            digest: resuming == nil ? nil : TextDigest(expecting: expecting),
            unproven: expecting
        )
    }

    private func close(_ input: borrowing OpenInput) {
        bytesBefore += input.reader.bytesUsed
        meter.noteEnd(bytes: input.reader.bytesUsed, of: input.size)
    }

    /// Fills a chunk; what was read before a failure comes first.
    private func fillOrFail(_ input: inout OpenInput) -> Filling {
        do throws(SendInputError) { return try fill(&input) } catch {
            failure = error
            return .chunk(cut(&input), isLast: true)
        }
    }

    /// Reads until there is a chunk to send, the input ends, or the senders have stopped.
    private func fill(_ input: inout OpenInput) throws(SendInputError) -> Filling {
        input.chunker.bytesMax = bytesMax.load(ordering: .relaxed)
        while !isStopped.load(ordering: .relaxed) {
            take(&input)
            if hasChanged(&input) { return .changed }
            if input.chunker.isFull { return .chunk(cut(&input), isLast: false) }
            if input.chunker.chunk.events > 0, input.startedAt == .never { input.startedAt = .now() }
            if !(try waitForMore(&input)) { return .chunk(cut(&input), isLast: false) }
            let hasMore = try input.reader.read(into: &input.buffer)
            meter.noteRead(bytes: bytesBefore + input.reader.bytesUsed)
            if !hasMore {
                input.chunker.takeEnd()
                input.digest?.takeEnd()
                return hasChanged(&input) ? .changed : .chunk(cut(&input), isLast: true)
            }
        }
        return .chunk(nil, isLast: false)
    }

    private func take(_ input: inout OpenInput) {
        let range = input.buffer.readable
        let count = Self.take(from: input.buffer, into: &input.chunker)
        let taken = input.buffer.bytes[range.lowerBound..<range.lowerBound + count]
        input.digest?.take(taken, linesEnd: input.chunker.linesEnd)
        input.buffer.consume(count)
    }

    /// A function of its own, because a span must not outlive the array that it looks into.
    private static func take(from buffer: ReadBuffer, into chunker: inout LineChunker) -> Int {
        let bytes = buffer.bytes
        return chunker.take(bytes.span.extracting(buffer.readable))
    }

    /// Whether it is not what was acknowledged in part; tells once where it goes on.
    private func hasChanged(_ input: inout OpenInput) -> Bool {
        guard let unproven = input.unproven, let digest = input.digest else { return false }
        switch digest.agreement {
        case .open: return false
        case .different: return true
        case .same:
            input.unproven = nil
            meter.noteSkipped(lines: unproven.lines)
            let lines = SendTotals.grouped(unproven.lines)
            report("\(inputs[input.index].name): goes on behind line \(lines), the last acknowledged one")
            return false
        }
    }

    /// Waits for something to read; `false` when the gathered lines should wait no longer.
    private func waitForMore(_ input: inout OpenInput) throws(SendInputError) -> Bool {
        while !isStopped.load(ordering: .relaxed) {
            let patience = input.startedAt == .never ? .never : input.startedAt.advanced(by: Self.lingerMax)
            if try input.reader.isReadable(by: min(patience, .after(Self.lookInterval))) { return true }
            if patience <= .now() { return false }
        }
        return false
    }

    private func cut(_ input: inout OpenInput) -> SendChunk? {
        input.startedAt = .never
        var chunk = input.chunker.cut()
        if chunk.events == 0 { return nil }
        (chunk.input, chunk.number) = (input.index, input.chunks)
        chunk.end = input.digest?.position(lines: input.chunker.lines)
        input.chunks += 1
        return chunk
    }
}
