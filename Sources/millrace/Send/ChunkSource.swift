import Glibc
import Reactor
import Synchronization

/// Where events to send come from.
enum SendInput: Equatable, Sendable {
    case standardInput
    case file(String)

    /// As the command line names it.
    init(_ argument: String) {
        self = argument == "-" ? .standardInput : .file(argument)
    }

    var name: String {
        switch self {
        case .standardInput: "standard input"
        case .file(let path): path
        }
    }

    /// Why it cannot be read, as far as can be known without opening it: a pipe would notice.
    var obstacle: SendInputError? {
        guard case .file(let path) = self, access(path, R_OK) != 0 else { return nil }
        return .unreadable(name, SystemError(call: "open", code: errno))
    }

    func open() throws(SendInputError) -> FileReader {
        do throws(SystemError) {
            return switch self {
            case .standardInput: try FileReader.standardInput()
            case .file(let path): try FileReader(path: path)
            }
        } catch {
            throw .unreadable(name, error)
        }
    }
}

/// Why an input's events cannot be sent.
enum SendInputError: Error, Equatable, Sendable, CustomStringConvertible {
    case unreadable(String, SystemError)
    /// A gzip file that is cut short or wrong inside.
    case damaged(String)

    var description: String {
        switch self {
        case .unreadable(let name, let error): "\(name): \(error)"
        case .damaged(let name): "\(name): the gzip file is damaged"
        }
    }
}

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
    private let bytesMax: Int
    private var inputs: ArraySlice<SendInput>
    private var current: OpenInput?
    private let isStopped = Atomic<Bool>(false)

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private struct OpenInput: ~Copyable {
        var reader: InputReader
        var chunker: LineChunker
        var buffer = ReadBuffer(capacity: InputReader.readBytes)
        /// When the first line of the chunk was read.
        var startedAt = Deadline.never
    }

    init(_ inputs: [SendInput], linesMax: Int, bytesMax: Int, on loop: EventLoop) {
        self.inputs = inputs[...]
        self.linesMax = linesMax
        self.bytesMax = bytesMax
        self.loop = loop
    }

    /// Ends the chunks: from now on ``next()`` returns `nil`.
    nonisolated func stop() {
        isStopped.store(true, ordering: .relaxed)
    }

    /// The next chunk; `nil` after the last.
    func next() throws(SendInputError) -> SendChunk? {
        while !isStopped.load(ordering: .relaxed) {
            if current == nil {
                guard let input = inputs.popFirst() else { return nil }
                current = OpenInput(
                    reader: try InputReader(input),
                    chunker: LineChunker(source: input.name, linesMax: linesMax, bytesMax: bytesMax)
                )
            }
            guard var input = current.take() else { return nil }
            let (chunk, isAtEnd) = try fill(&input)
            if !isAtEnd { current = consume input }
            if let chunk { return chunk }
        }
        return nil
    }

    /// Reads until there is a chunk to send, the input ends, or the senders have stopped.
    private func fill(_ input: inout OpenInput) throws(SendInputError) -> (SendChunk?, isAtEnd: Bool) {
        while !isStopped.load(ordering: .relaxed) {
            input.buffer.consume(Self.take(from: input.buffer, into: &input.chunker))
            if input.chunker.isFull { return (cut(&input), false) }
            if input.chunker.chunk.events > 0, input.startedAt == .never { input.startedAt = .now() }
            if !(try waitForMore(&input)) { return (cut(&input), false) }
            if try !input.reader.read(into: &input.buffer) {
                input.chunker.takeEnd()
                return (cut(&input), true)
            }
        }
        return (nil, false)
    }

    /// A function of its own, because a span must not outlive the array that it looks into.
    private static func take(from buffer: ReadBuffer, into chunker: inout LineChunker) -> Int {
        let bytes = buffer.bytes
        return chunker.take(bytes.span.extracting(buffer.readable))
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
        let chunk = input.chunker.cut()
        return chunk.events == 0 ? nil : chunk
    }
}
