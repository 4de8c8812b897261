import Events
import HTTP
import Reactor
import Server

/// A body of one event a line, stored as it is read.
///
/// Memory is bounded by two chunks on their way to the writers and one being filled, however long the body
/// is: while both are under way nothing is read, so that PostgreSQL's pace reaches the client through the
/// socket.
struct StreamedBody {
    private let route: IngestRoute
    private let request: Request
    private let options: IngestOptions
    private var lines: EventLines
    private var context: DecodeContext
    private var arena = EventArena()
    private var chunkBytes = 0
    private var chunkStart = 0
    /// When the chunk must go although it is not full: its first line must not wait for a client that is
    /// silent.
    private var chunkDue = Deadline.never
    private var underWay: [Chunk] = []
    private var answer: IngestAnswer
    /// Told of each chunk that is committed; `nil` for a client that wants one answer.
    private let progress: ResponseWriter?
    /// When the chunks under way are waited for and told of, unless more comes: the client may wait as well.
    private var reportDue = Deadline.never

    private struct Chunk {
        let arena: EventArena
        /// The physical lines of the body up to its end.
        let lines: Int
        /// Ended by `settle`, which every chunk goes through, whatever becomes of the body.
        let task: Task<Result<Kept, IngestError>, Never>
    }

    private static let chunkLinesMax = 5_000
    private static let chunkBytesMax = 1 << 20
    private static let chunkAgeMax = Duration.seconds(1)
    private static let chunksUnderWayMax = 2
    private static let reportAgeMax = Duration.milliseconds(50)
    /// So that a drain need not wait long.
    private static let pauseMax = Duration.seconds(1)

    init(
        _ route: IngestRoute,
        _ request: Request,
        _ options: IngestOptions,
        separatesRecords: Bool,
        progress: ResponseWriter? = nil
    ) {
        self.progress = progress
        self.route = route
        self.request = request
        self.options = options
        lines = EventLines(decoder: route.decoder, separatesRecords: separatesRecords)
        context = route.context(isStrict: false, request)
        answer = IngestAnswer(listsVerdicts: options.listsVerdicts)
    }

    /// Reads the body to its end, stores its events, and answers.
    mutating func answer(_ body: BodyReader) async -> Response {
        do throws(StreamFailure) {
            try await store(body)
            return IngestRoute.response(answer, durability)
        } catch {
            // What is under way will be stored all the same; its counts belong into the answer.
            while !underWay.isEmpty { _ = await settleAnyway() }
            var response = problem(of: error)
            response.closes = true
            if answer.received == 0 { return response }
            response.fields.append(("X-Events-Stored", "\(answer.stored)"))
            response.fields.append(("X-Events-Received", "\(answer.received)"))
            return response
        }
    }

    /// Reads the body to its end and tells `writer` of each chunk as it is committed, and in the end of all.
    ///
    /// - Throws: ``StreamError`` once the client reads no more; what is under way is stored all the same.
    mutating func acknowledge(to writer: ResponseWriter) async throws(StreamError) {
        do throws(StreamFailure) {
            try await store(writer.body)
            do throws(StreamError) {
                try await writer.write(answer.json(durability, isDone: true) + [UInt8(ascii: "\n")])
            } catch {
                throw .client(error)
            }
        } catch {
            // Told of what is committed yet, so that the client can go on behind it; but of nothing that came
            // after a chunk which was not stored, or it would leave that one out.
            var isUnbroken = if case .body = error { true } else { false }
            while let chunk = underWay.first {
                if await settleAnyway() != nil { isUnbroken = false }
                if isUnbroken { try await writer.write(answer.progressLine(line: chunk.lines)) }
            }
            if case .client(let error) = error { throw error }
            writer.closes = true
            guard case .bytes(let problem) = problem(of: error).body else { return }
            try await writer.write(Array(#"{"done":false,"error":"#.utf8) + problem + Array("}\n".utf8))
        }
    }

    private var durability: IngestAnswer.Durability { options.isDryRun ? .none : answer.durability }

    private enum StreamFailure: Error {
        case body(BodyError)
        case ingest(IngestError)
        /// It does not read what it is told.
        case client(StreamError)
    }

    private mutating func store(_ body: BodyReader) async throws(StreamFailure) {
        try await read(body)
        lines.finish(context: &context, into: &arena)
        try await send()
        while !underWay.isEmpty { try await settle() }
    }

    private mutating func read(_ body: BodyReader) async throws(StreamFailure) {
        var buffer: [UInt8] = []
        buffer.reserveCapacity(1 << 16)
        while true {
            let step: BodyReader.Step
            do throws(BodyError) {
                step = try await body.next(into: &buffer, until: min(chunkDue, reportDue))
            } catch {
                throw .body(error)
            }
            switch step {
            case .bytes:
                try await decode(buffer)
                await pause(body)
            case .nothing: try await beatSilence()
            case .end: return
            }
            buffer.removeAll(keepingCapacity: true)
        }
    }

    /// Does what must not wait for a client that sends nothing.
    private mutating func beatSilence() async throws(StreamFailure) {
        if chunkDue <= .now() { try await send() }
        if progress == nil { return }
        while !underWay.isEmpty { try await settle() }
    }

    /// Reads no faster than the key's rate allows; the client feels it as a full socket.
    private func pause(_ body: BodyReader) async {
        guard let principal = request.principal else { return }
        let wait = principal.charge(0)
        if wait > .zero { await body.pause(for: min(wait, Self.pauseMax)) }
    }

    private mutating func decode(_ buffer: [UInt8]) async throws(StreamFailure) {
        var offset = 0
        while offset < buffer.count {
            if chunkDue == .never {
                chunkDue = .after(Self.chunkAgeMax)
                // The chunk before may have been long ago.
                context.receivedAt = WallClock.microseconds()
            }
            let before = offset
            lines.decode(
                buffer.span,
                from: &offset,
                untilLine: chunkStart + Self.chunkLinesMax,
                context: &context,
                into: &arena
            )
            chunkBytes += offset - before
            let isFull = lines.lines >= chunkStart + Self.chunkLinesMax || chunkBytes >= Self.chunkBytesMax
            if isFull { try await send() }
        }
    }

    /// Hands the chunk over to the writers, after waiting for the oldest one under way if there are two.
    private mutating func send() async throws(StreamFailure) {
        chunkDue = .never
        chunkStart = lines.lines
        // Bytes of a line that has not ended yet are counted with its chunk.
        if arena.records.isEmpty, arena.rejections.isEmpty { return }
        defer { chunkBytes = 0 }
        request.principal?.charge(arena.records.count + arena.rejections.count)
        let full = arena
        arena = EventArena()
        arena.bytes.reserveCapacity(full.bytes.count)
        arena.records.reserveCapacity(full.records.count)
        if options.isDryRun {
            answer.add(full, verdicts: full.records.map { _ in .stored })
            try await report(lines: chunkStart)
            return
        }
        if underWay.count == Self.chunksUnderWayMax { try await settle() }
        let (ingestor, id) = (route.ingestor, request.requestID)
        let (key, trace) = (request.principal?.key, request.traceParent?.text)
        let (receivedAt, bytes) = (context.receivedAt, chunkBytes)
        let acknowledgement = options.acknowledgement
        let task = Task { () -> Result<Kept, IngestError> in
            do throws(IngestError) {
                return .success(
                    try await ingestor.store(
                        full,
                        requestID: id,
                        receivedAt: receivedAt,
                        bytes: bytes,
                        sender: key?.id,
                        decoding: DecodingMode(isStrict: false, key: key),
                        trace: trace,
                        acknowledgement: acknowledgement,
                        waits: true
                    )
                )
            } catch {
                return .failure(error)
            }
        }
        underWay.append(Chunk(arena: full, lines: chunkStart, task: task))
        if progress != nil { reportDue = .after(Self.reportAgeMax) }
    }

    /// Waits for the oldest chunk and counts it.
    private mutating func settle() async throws(StreamFailure) {
        let lines = underWay[0].lines
        if let error = await settleAnyway() { throw .ingest(error) }
        try await report(lines: lines)
    }

    private mutating func report(lines: Int) async throws(StreamFailure) {
        guard let progress else { return }
        if underWay.isEmpty { reportDue = .never }
        do throws(StreamError) {
            try await progress.write(answer.progressLine(line: lines))
        } catch {
            throw .client(error)
        }
    }

    private mutating func settleAnyway() async -> IngestError? {
        let chunk = underWay.removeFirst()
        switch await chunk.task.value {
        case .success(let kept):
            answer.add(chunk.arena, kept)
            return nil
        case .failure(let error): return error
        }
    }

    /// The answer to a body that could not be taken to its end.
    private func problem(of failure: StreamFailure) -> Response {
        switch failure {
        case .body(let error): request.problem(error)
        case .ingest(let error): IngestRoute.unavailable(request, error)
        // Nobody is left to read it.
        case .client(let error): request.problem(.disconnected(error))
        }
    }
}
