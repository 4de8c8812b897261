import Analytics
import Events
import HTTP
import Postgres
import Reactor
package import Server
import Workers

/// Asking for an analysis, waiting for it and ending it: `/v1/analyses`, with the scope `read`.
package struct AnalysisRoutes: Sendable {
    let store: AnalysisStore
    let dispatcher: AnalysisDispatcher
    let loop: EventLoop

    private static let bodyBytesMax = 64 << 10
    /// The longest that an answer is waited for.
    private static let waitSecondsMax = 60
    /// Between two looks while somebody waits.
    private static let look = Duration.milliseconds(200)
    private static let states: Set<String> = [
        "scheduled", "queued", "running", "retrying", "succeeded", "failed", "cancelled",
    ]

    /// Why a request has no answer of its own.
    private enum RouteError: Error {
        case answered(Response)
        case database(PostgresError)
        case notFound
    }

    package func add(to router: inout Router) {
        let read = Access.scope(.read)
        router.add(.post, "/v1/analyses", for: read) { request, body in
            await answer(request) { () throws(RouteError) in try await ask(request, body) }
        }
        router.add(.get, "/v1/analyses", for: read) { request, _ in
            await answer(request) { () throws(RouteError) in try await list(request) }
        }
        router.add(.get, "/v1/analyses/kinds", for: read) { _, _ in kinds() }
        router.add(.get, "/v1/analyses/{id}", for: read) { request, _ in
            await answer(request) { () throws(RouteError) in try await one(request) }
        }
        router.add(.delete, "/v1/analyses/{id}", for: read) { request, _ in
            await answer(request) { () throws(RouteError) in try await cancel(request) }
        }
        router.add(.post, "/v1/analyses/{id}/retry", for: read) { request, _ in
            await answer(request) { () throws(RouteError) in try await retry(request) }
        }
    }

    private func answer(
        _ request: Request,
        _ body: () async throws(RouteError) -> Response
    ) async -> Response {
        do throws(RouteError) { return try await body() } catch {
            switch error {
            case .answered(let response): return response
            case .notFound: return request.problem(404, "not_found", "There is no such analysis.")
            case .database(let error):
                return request.unavailable(
                    "database_unavailable",
                    "The analyses cannot be reached just now (\(error.tag))."
                )
            }
        }
    }

    private func asking<Value>(
        _ body: () async throws(PostgresError) -> Value
    ) async throws(RouteError) -> Value {
        do throws(PostgresError) { return try await body() } catch { throw .database(error) }
    }

    private static func response(_ members: [String: JSONValue], status: Int = 200) -> Response {
        Response(status: status, bytes: JSONValue.object(members).bytes)
    }

    private static func id(_ request: Request) throws(RouteError) -> Int64 {
        guard let id = request.parameters["id"].flatMap({ Int64($0) }) else { throw .notFound }
        return id
    }

    // MARK: Asking

    private func ask(_ request: Request, _ reader: BodyReader) async throws(RouteError) -> Response {
        let members: [String: JSONValue]
        do throws(RefusedBody) {
            members = try await request.object(of: reader, atMost: Self.bodyBytesMax)
        } catch {
            throw .answered(error.answer)
        }
        let order: AnalysisOrder
        do throws(AnalysisOrder.Refusal) { order = try AnalysisOrder(members) } catch {
            let problem = Problem(
                status: 422,
                code: "invalid_analysis",
                detail: "\(error.pointer): \(error.detail).",
                requestID: request.id,
                members: [("pointer", .string(error.pointer))]
            )
            throw .answered(Response(problem))
        }
        let trace = request.traceParent?.text
        let added = try await asking { () throws(PostgresError) in
            try await store.add(order, by: request.actor, trace: trace)
        }
        switch added {
        case .new(let id):
            dispatcher.wake()
            return try await accepted(id)
        case .present(let id): return try await accepted(id)
        case .full:
            throw .answered(
                request.unavailable("too_many_analyses", "\(AnalysisStore.queuedMax) analyses wait already.")
            )
        }
    }

    private func accepted(_ id: Int64) async throws(RouteError) -> Response {
        var response = Self.response(try await find(id), status: 202)
        response.fields.append(("Location", "/v1/analyses/\(id)"))
        return response
    }

    private func kinds() -> Response {
        let kinds = Analysis.kinds.map { kind -> JSONValue in
            ["kind": .string(kind.name), "description": .string(kind.note), "params": JSONValue(kind.schema)]
        }
        return Self.response(["kinds": .array(kinds)])
    }

    // MARK: Looking

    private func find(_ id: Int64) async throws(RouteError) -> [String: JSONValue] {
        let found = try await asking { () throws(PostgresError) in try await store.find(id) }
        guard var found else { throw .notFound }
        switch found["state"]?.string {
        case "scheduled": found["why_waiting"] = "its time has not come"
        case "queued": found["why_waiting"] = "no worker for analyses is free"
        case "retrying": found["why_waiting"] = "it has failed and is tried again after a pause"
        default: break
        }
        return found
    }

    private func one(_ request: Request) async throws(RouteError) -> Response {
        let id = try Self.id(request)
        let seconds = try Self.wait(request)
        let deadline = Deadline.after(.seconds(seconds))
        var found = try await find(id)
        while !Self.isOver(found), Deadline.now() < deadline {
            await loop.sleep(for: Self.look)
            found = try await find(id)
        }
        return Self.response(found)
    }

    private static func isOver(_ analysis: [String: JSONValue]) -> Bool {
        ["succeeded", "failed", "cancelled"].contains(analysis["state"]?.string)
    }

    /// The query's `wait`, as `30s`; in seconds.
    private static func wait(_ request: Request) throws(RouteError) -> Int {
        guard let text = try query(request)["wait"] else { return 0 }
        guard text.hasSuffix("s"), let seconds = Int(text.dropLast()), 0...waitSecondsMax ~= seconds else {
            throw .answered(
                request.problem(400, "invalid_parameter", "wait: expected 0s to \(waitSecondsMax)s.")
            )
        }
        return seconds
    }

    private static func query(_ request: Request) throws(RouteError) -> QueryItems {
        do throws(TargetError) { return try request.query() } catch {
            throw .answered(request.problem(error))
        }
    }

    private func list(_ request: Request) async throws(RouteError) -> Response {
        let query = try Self.query(request)
        var before = Int64.max
        if let cursor = query["cursor"] {
            guard let number = Int64(cursor) else {
                throw .answered(request.problem(400, "invalid_parameter", "cursor: expected that of a page."))
            }
            before = number
        }
        if let state = query["state"], !Self.states.contains(state) {
            throw .answered(request.problem(400, "invalid_parameter", "state: expected that of an analysis."))
        }
        let page = try await asking { () throws(PostgresError) in
            try await store.list(state: query["state"], kind: query["kind"], before: before)
        }
        let isFull = page.count == AnalysisStore.pageMax
        let next = isFull ? page.last?["id"]?.integer.map { JSONValue.string(String($0)) } : nil
        return Self.response(["analyses": .array(page.map { .object($0) }), "next_cursor": next ?? .null])
    }

    // MARK: Ending and trying again

    private func cancel(_ request: Request) async throws(RouteError) -> Response {
        let id = try Self.id(request)
        let isRunning = try await asking { () throws(PostgresError) in try await store.cancel(id) }
        if isRunning == true { dispatcher.cancel(id) }
        let found = try await find(id)
        if isRunning == nil {
            throw .answered(request.problem(409, "analysis_over", "The analysis is over already."))
        }
        return Self.response(found, status: isRunning == true ? 202 : 200)
    }

    private func retry(_ request: Request) async throws(RouteError) -> Response {
        let id = try Self.id(request)
        let isQueued = try await asking { () throws(PostgresError) in try await store.retry(id) }
        let found = try await find(id)
        if !isQueued {
            throw .answered(
                request.problem(
                    409,
                    "analysis_not_failed",
                    "Only an analysis that has failed or was cancelled can be tried again."
                )
            )
        }
        dispatcher.wake()
        return Self.response(found, status: 202)
    }
}
