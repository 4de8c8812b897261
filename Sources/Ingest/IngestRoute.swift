import Events
import HTTP
import Reactor
package import Server

/// `POST /v1/events`: decides by the content type how the body is read, and answers for each event.
package struct IngestRoute: Sendable {
    let ingestor: Ingestor
    let decoder: EventDecoder
    let bodyBytesMax: Int
    let bodyEventsMax: Int
    private let seeds = IDSeeds()

    package init(_ ingestor: Ingestor, _ configuration: IngestConfiguration) {
        self.ingestor = ingestor
        decoder = EventDecoder(limits: configuration.events)
        bodyBytesMax = configuration.bodyBytesMax
        bodyEventsMax = configuration.bodyEventsMax
    }

    /// Adds the writing routes to `router`.
    package func add(to router: inout Router) {
        router.add(.post, "/v1/events", for: .scope(.write)) { request, body in await handle(request, body) }
    }

    /// How the content type says that events are laid out.
    enum Layout: Equatable {
        case json(JSONBody.Shape, isStrict: Bool)
        case lines(separatesRecords: Bool)
        /// One event, whose attributes are header fields.
        case binary
    }

    private func handle(_ request: Request, _ body: BodyReader) async -> Response {
        let started = Deadline.now()
        let response = await answer(request, body)
        if !response.readsBody { ingestor.metrics.answered(after: Deadline.now().duration(since: started)) }
        return response
    }

    private func answer(_ request: Request, _ body: BodyReader) async -> Response {
        let options: IngestOptions
        switch IngestOptions.read(request) {
        case .failure(let refused): return refused.response
        case .success(let read): options = read
        }
        guard let layout = Self.layout(of: request.head) else {
            return request.problem(
                415,
                "unsupported_media_type",
                "Send application/json, application/x-ndjson or CloudEvents."
            )
        }
        if let refusal = refuseCoding(request) { return refusal }
        if options.isAtomic, case .lines = layout {
            return request.problem(400, "invalid_parameter", "A body that is streamed cannot be atomic.")
        }
        if ingestor.isOverloaded {
            ingestor.metrics.requestShed()
            return Self.unavailable(request, .overloaded)
        }
        if ingestor.isSpoolFull {
            ingestor.metrics.requestShed()
            return Self.unavailable(request, .spoolFull)
        }
        if let principal = request.principal, !principal.isAdmitted {
            ingestor.metrics.requestLimited()
            return Self.limited(request, principal)
        }
        var response: Response
        switch layout {
        case .json, .binary: response = await answerWhole(request, body, options, layout)
        case .lines(let separatesRecords) where Self.wantsProgress(request):
            response = await acknowledge(request, body, options, separatesRecords: separatesRecords)
        case .lines(let separatesRecords):
            var stream = StreamedBody(self, request, options, separatesRecords: separatesRecords)
            response = await stream.answer(body)
        }
        if let principal = request.principal { response.fields += principal.rateFields }
        return response
    }

    // MARK: Streamed bodies

    private static let progressType = "application/x-ndjson"

    private static func wantsProgress(_ request: Request) -> Bool {
        guard let accepted = request.head.list(.accept) else { return false }
        return AcceptedTypes(accepted.span).preferred(among: ["application/json", progressType])
            == progressType
    }

    /// The answer that tells of each chunk as it is committed, while the body is still coming.
    private func acknowledge(
        _ request: Request,
        _ body: BodyReader,
        _ options: IngestOptions,
        separatesRecords: Bool
    ) async -> Response {
        do throws(BodyError) { try await body.invite() } catch { return request.problem(error) }
        let acknowledged = AcknowledgedBody(
            route: self,
            request: request,
            options: options,
            separatesRecords: separatesRecords
        )
        var response = Response(contentType: Self.progressType, stream: acknowledged.write)
        response.readsBody = true
        return response
    }

    private struct AcknowledgedBody: Sendable {
        let route: IngestRoute
        let request: Request
        let options: IngestOptions
        let separatesRecords: Bool

        func write(to writer: ResponseWriter) async throws(StreamError) {
            let started = Deadline.now()
            defer { route.ingestor.metrics.answered(after: Deadline.now().duration(since: started)) }
            var stream = StreamedBody(
                route,
                request,
                options,
                separatesRecords: separatesRecords,
                progress: writer
            )
            try await stream.acknowledge(to: writer)
        }
    }

    private static func limited(_ request: Request, _ principal: Principal) -> Response {
        var response = request.problem(
            429,
            "rate_limited",
            "This key has sent more events than its rate allows. Send them again when Retry-After has passed."
        )
        response.fields.append(("Retry-After", "\(max(1, principal.wholeSeconds))"))
        response.fields += principal.rateFields
        return response
    }

    private static func layout(of head: RequestHead) -> Layout? {
        let layout = layoutByType(of: head)
        if case .json(_, isStrict: true) = layout { return layout }
        return BinaryMode.isUsed(by: head) ? .binary : layout
    }

    private static func layoutByType(of head: RequestHead) -> Layout? {
        guard let range = head.value(.contentType) else { return .json(.any, isStrict: false) }
        let value = head.bytes.span.extracting(range)
        guard let essence = MediaType.essence(value) else { return nil }
        let name = value.extracting(essence)
        if name.matches(lowercased: "application/json") { return .json(.any, isStrict: false) }
        if name.matches(lowercased: "application/x-ndjson") { return .lines(separatesRecords: false) }
        switch MediaType(value)?.essence {
        case "text/plain", "application/x-www-form-urlencoded": return .json(.any, isStrict: false)
        case "application/jsonl", "application/x-jsonlines": return .lines(separatesRecords: false)
        case "application/json-seq": return .lines(separatesRecords: true)
        case "application/cloudevents+json": return .json(.object, isStrict: true)
        case "application/cloudevents-batch+json": return .json(.array, isStrict: true)
        default: return nil
        }
    }

    private func refuseCoding(_ request: Request) -> Response? {
        BodyCoding(request.head) == .unsupported ? request.problem(.unsupportedCoding) : nil
    }

    // MARK: Whole bodies

    private func answerWhole(
        _ request: Request,
        _ reader: BodyReader,
        _ options: IngestOptions,
        _ layout: Layout
    ) async -> Response {
        let body: [UInt8]
        do throws(BodyError) { body = try await reader.collect(atMost: bodyBytesMax) } catch {
            return request.problem(error)
        }
        let byteCount = body.count
        var context = context(isStrict: layout != .json(.any, isStrict: false), request)
        let arena: EventArena
        do throws(RefusedRequest) {
            // Given away, for the body becomes the arena.
            arena = try decode(consume body, layout, request, &context)
        } catch {
            return error.response
        }
        request.principal?.charge(arena.records.count + arena.rejections.count)
        var answer = IngestAnswer(listsVerdicts: options.listsVerdicts)
        if options.isDryRun || arena.records.isEmpty && arena.rejections.isEmpty {
            let verdict = options.isAtomic && !arena.rejections.isEmpty ? Verdict.aborted : .stored
            answer.add(arena, verdicts: arena.records.map { _ in verdict })
            return Self.response(answer, options.isDryRun ? .none : .committed)
        }
        do throws(IngestError) {
            let kept = try await ingestor.store(
                arena,
                requestID: request.requestID,
                receivedAt: context.receivedAt,
                bytes: byteCount,
                sender: request.principal?.key.id,
                decoding: DecodingMode(isStrict: context.isStrict, key: request.principal?.key),
                isAtomic: options.isAtomic,
                trace: request.traceParent?.text,
                acknowledgement: options.acknowledgement,
                waits: false
            )
            answer.add(arena, kept)
        } catch {
            return Self.unavailable(request, error)
        }
        return Self.response(answer, answer.durability)
    }

    private func decode(
        _ body: consuming [UInt8],
        _ layout: Layout,
        _ request: Request,
        _ context: inout DecodeContext
    ) throws(RefusedRequest) -> EventArena {
        if case .json(let shape, _) = layout {
            do throws(JSONBodyError) {
                return try JSONBody.decode(
                    body,
                    as: shape,
                    eventsMax: bodyEventsMax,
                    with: decoder,
                    context: &context
                )
            } catch {
                throw RefusedRequest(response: Self.refusal(of: error, request, eventsMax: bodyEventsMax))
            }
        }
        if let name = BinaryMode.misplacedField(in: request.head) {
            let detail =
                "The header field ce-\(name) has no meaning: that comes from Content-Type and the body."
            throw RefusedRequest(response: request.problem(400, "invalid_field", detail))
        }
        do throws(BinaryMode.MalformedData) {
            let text = try BinaryMode.structured(request.head, body, scanner: decoder.scanner)
            var arena = EventArena()
            decoder.decode(text.span, index: 0, context: &context, into: &arena)
            return arena
        } catch {
            throw RefusedRequest(
                response: Self.refusal(
                    of: .malformed(offset: error.offset),
                    request,
                    eventsMax: bodyEventsMax
                )
            )
        }
    }

    /// What decoding needs to know of a request: the time, and what its key says.
    func context(isStrict: Bool, _ request: Request) -> DecodeContext {
        var context = DecodeContext(
            receivedAt: WallClock.microseconds(),
            isStrict: isStrict,
            ids: seeds.generator()
        )
        if let key = request.principal?.key {
            if let source = key.source { context.defaultSource = Array(source.utf8) }
            context.allowedTypes = key.types.map { Array($0.utf8) }
        }
        return context
    }

    static func response(_ answer: IngestAnswer, _ durability: IngestAnswer.Durability) -> Response {
        let accepted = answer.durability == .committed ? 200 : 202
        return Response(status: answer.isRefused ? 422 : accepted, bytes: answer.json(durability))
    }

    static func unavailable(_ request: Request, _ error: IngestError) -> Response {
        switch error {
        case .overloaded:
            return request.unavailable(
                "overloaded",
                "Too much is waiting to be stored. Send it again shortly."
            )
        case .spoolFull:
            return request.unavailable(
                "spool_full",
                "The database is away and what is kept for it takes no more. Send it again later."
            )
        case .unavailable(let reason):
            return request.unavailable(
                "database_unavailable",
                "The events may not be stored (\(reason)). Send them again."
            )
        case .refused(let sqlState):
            return request.unavailable(
                "database_unavailable",
                "The database has not taken the events (SQLSTATE \(sqlState)). Send them again later."
            )
        case .replayUndone:
            return request.unavailable("replay_undone", "Nothing was stored. Send it again shortly.")
        case .fenced:
            var response = request.unavailable(
                "restarting",
                "This process is about to restart. Send the events again."
            )
            response.closes = true
            return response
        }
    }

    private static func refusal(of error: JSONBodyError, _ request: Request, eventsMax: Int) -> Response {
        switch error {
        case .empty: return request.problem(400, "empty_body", "The body holds no JSON.")
        case .malformed(let offset):
            return Response(
                Problem(
                    status: 400,
                    code: "malformed_json",
                    detail: "The body stops being JSON at byte \(offset).",
                    requestID: request.id,
                    members: [("offset", .int(offset))]
                )
            )
        case .scalar:
            return request.problem(400, "not_an_event", "The body is neither an object nor an array.")
        case .unexpectedArray:
            return request.problem(400, "not_an_event", "The content type promises one event, not an array.")
        case .unexpectedObject:
            return request.problem(400, "not_a_batch", "The content type promises an array of events.")
        case .tooManyEvents:
            return request.problem(
                413,
                "too_many_events",
                "A body holds at most \(eventsMax) events; stream more as NDJSON."
            )
        }
    }
}
