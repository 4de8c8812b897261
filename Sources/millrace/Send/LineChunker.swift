import Events

/// Lines that go to the server in one request.
struct SendChunk: Equatable, Sendable {
    /// The file that they come from.
    var source: String
    /// The file's number among the inputs.
    var input = 0
    /// Among the file's chunks, from 0.
    var number = 0
    /// Where its last line ends, for those who want to go on there later.
    var end: LinePosition?
    /// One event a line, each with its line feed; blank lines are left out.
    var bytes: [UInt8] = []
    /// For each event the number of its line in the file, from 1.
    var lineNumbers: [Int] = []

    var events: Int { lineNumbers.count }

    /// The same lines in two requests; `nil` for one that has but one.
    var halves: (SendChunk, SendChunk)? {
        if events < 2 { return nil }
        let half = events / 2
        var (lines, cut) = (0, 0)
        while lines < half {
            if bytes[cut] == UInt8(ascii: "\n") { lines += 1 }
            cut += 1
        }
        var (first, second) = (self, self)
        (first.bytes, second.bytes) = (Array(bytes[..<cut]), Array(bytes[cut...]))
        (first.lineNumbers, second.lineNumbers) = (Array(lineNumbers[..<half]), Array(lineNumbers[half...]))
        return (first, second)
    }
}

/// Gathers lines until they are worth a request.
struct LineChunker: Sendable {
    /// Lines of a chunk.
    let linesMax: Int
    /// Bytes that end a chunk; the line that reaches them still belongs to it.
    var bytesMax: Int

    /// More than any event may have; of a longer line only so much is sent, which the server refuses as too
    /// large.
    static let lineBytesMax = 1 << 20

    private(set) var chunk: SendChunk
    /// Where in the bytes that were taken last the last line ended; 0 when none did.
    private(set) var linesEnd = 0
    private var splitter = LineSplitter(lineBytesMax: lineBytesMax)
    private let bytesSkipped: Int
    private var bytesTaken = 0

    /// A chunker that leaves out the first `skippingBytes`, which end where a line does, or did: a line that
    /// has grown since is not left out.
    init(source: String, linesMax: Int, bytesMax: Int, skippingBytes: Int = 0) {
        self.linesMax = linesMax
        self.bytesMax = bytesMax
        bytesSkipped = skippingBytes
        chunk = SendChunk(source: source)
    }

    var isFull: Bool { chunk.events >= linesMax || chunk.bytes.count >= bytesMax }

    /// Lines that have ended, blank and skipped ones too.
    var lines: Int { splitter.lines }

    /// Takes the next bytes of the file.
    ///
    /// - Returns: How many it took: all, unless the chunk is full.
    mutating func take(_ input: Span<UInt8>) -> Int {
        var offset = 0
        linesEnd = 0
        while !isFull, let line = splitter.next(in: input, from: &offset) {
            linesEnd = offset
            // One more: the beginning may have ended without the line feed that has followed since.
            if bytesTaken + offset > bytesSkipped + 1 { add(line, input) }
        }
        bytesTaken += offset
        return offset
    }

    /// The file has ended, perhaps without a line feed.
    mutating func takeEnd() {
        let nothing: [UInt8] = []
        if let line = splitter.finish(), bytesTaken > bytesSkipped { add(line, nothing.span) }
    }

    /// Gives away what has been gathered.
    mutating func cut() -> SendChunk {
        defer { chunk = SendChunk(source: chunk.source) }
        return chunk
    }

    private mutating func add(_ line: LineSplitter.Line, _ input: Span<UInt8>) {
        let carried = splitter.carried
        switch line {
        case .blank: return
        case .within(let range): chunk.bytes.append(copying: input.extracting(range))
        case .carried(let range): chunk.bytes.append(copying: carried.span.extracting(range))
        case .tooLong: chunk.bytes.append(copying: carried.span)
        }
        chunk.bytes.append(UInt8(ascii: "\n"))
        chunk.lineNumbers.append(splitter.lines)
    }
}
