import Events

/// Lines that go to the server in one request.
struct SendChunk: Equatable, Sendable {
    /// The file that they come from.
    var source: String
    /// One event a line, each with its line feed; blank lines are left out.
    var bytes: [UInt8] = []
    /// For each event the number of its line in the file, from 1.
    var lineNumbers: [Int] = []

    var events: Int { lineNumbers.count }
}

/// Gathers lines until they are worth a request.
struct LineChunker: Sendable {
    /// Lines of a chunk.
    let linesMax: Int
    /// Bytes that end a chunk; the line that reaches them still belongs to it.
    let bytesMax: Int

    /// More than any event may have; of a longer line only so much is sent, which the server refuses as too
    /// large.
    static let lineBytesMax = 1 << 20

    private(set) var chunk: SendChunk
    private var splitter = LineSplitter(lineBytesMax: lineBytesMax)

    init(source: String, linesMax: Int, bytesMax: Int) {
        self.linesMax = linesMax
        self.bytesMax = bytesMax
        chunk = SendChunk(source: source)
    }

    var isFull: Bool { chunk.events >= linesMax || chunk.bytes.count >= bytesMax }

    /// Takes the next bytes of the file.
    ///
    /// - Returns: How many it took: all, unless the chunk is full.
    mutating func take(_ input: Span<UInt8>) -> Int {
        var offset = 0
        while !isFull, let line = splitter.next(in: input, from: &offset) { add(line, input) }
        return offset
    }

    /// The file has ended, perhaps without a line feed.
    mutating func takeEnd() {
        let nothing: [UInt8] = []
        if let line = splitter.finish() { add(line, nothing.span) }
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
