import Events
import HTTP
import Reactor
package import Server

/// `/v1/rejects` for those who change them: replaying and deleting, with the scope `admin`.
///
/// Reading them is Insight's.
package struct RejectRoutes: Sendable {
    let ingestor: Ingestor
    let decoder: EventDecoder
    let store: RejectStore
    let limits: ReplayLimits
    let seeds = IDSeeds()

    private static let bodyBytesMax = 64 << 10
    /// How long one call goes on to delete.
    private static let deletionTime = Duration.seconds(20)

    /// Routes that decode as `configuration` says.
    package init(
        _ ingestor: Ingestor,
        _ configuration: IngestConfiguration,
        store: RejectStore,
        limits: ReplayLimits = ReplayLimits()
    ) {
        self.ingestor = ingestor
        self.store = store
        self.limits = limits
        decoder = EventDecoder(limits: configuration.events)
    }

    package func add(to router: inout Router) {
        let admin = Access.scope(.admin)
        router.add(.post, "/v1/rejects/replay", for: admin) { request, body in
            await Self.answer(request) { () throws(RejectError) in try await replay(request, body) }
        }
        router.add(.delete, "/v1/rejects", for: admin) { request, _ in
            await Self.answer(request) { () throws(RejectError) in try await delete(request) }
        }
        router.add(.delete, "/v1/rejects/{n}", for: admin) { request, _ in
            await Self.answer(request) { () throws(RejectError) in try await deleteOne(request) }
        }
    }

    private static func answer(
        _ request: Request,
        _ body: () async throws(RejectError) -> Response
    ) async -> Response {
        do throws(RejectError) { return try await body() } catch {
            switch error {
            case .invalid(let name, let expected):
                return request.problem(400, "invalid_parameter", "\(name): expected \(expected).")
            case .missingFilter:
                return request.problem(400, "missing_filter", "Say which rejects: code, ids, from or to.")
            case .notFound: return request.problem(404, "not_found", "There is no such reject.")
            case .ingest(let error): return IngestRoute.unavailable(request, error)
            case .unavailable(let reason):
                return request.unavailable(
                    "database_unavailable",
                    "The rejects cannot be changed just now (\(reason)). Ask again: nothing is done twice."
                )
            }
        }
    }

    // MARK: Replaying

    private func replay(_ request: Request, _ reader: BodyReader) async throws(RejectError) -> Response {
        let members: [String: JSONValue]
        do throws(RefusedBody) {
            members = try await request.object(of: reader, atMost: Self.bodyBytesMax)
        } catch {
            return error.answer
        }
        var replay = RejectReplay(
            try Self.read(members),
            by: request.actor,
            requestID: request.requestID,
            route: self
        )
        try await replay.run()
        return Self.response(replay.outcome)
    }

    private static let members: Set<String> = ["code", "ids", "from", "to", "after", "dry_run"]

    private static func read(_ members: [String: JSONValue]) throws(RejectError) -> RejectReplay.Request {
        if let unknown = members.keys.filter({ !Self.members.contains($0) }).min() {
            throw .invalid(unknown, "no such member")
        }
        var request = RejectReplay.Request(filter: try RejectFilter(members))
        if let after = members["after"], after != .null {
            guard let number = after.integer else { throw .invalid("after", "a number") }
            request.after = number
        }
        switch members["dry_run"] {
        case nil, .null: break
        case .bool(let isDryRun): request.isDryRun = isDryRun
        default: throw .invalid("dry_run", "true or false")
        }
        return request
    }

    private static func response(_ outcome: RejectReplay.Outcome) -> Response {
        var json = JSONWriter()
        json.beginObject()
        json.member("matched", outcome.matched)
        json.member("stored", outcome.stored)
        json.member("duplicates", outcome.duplicates)
        json.member("rejected", outcome.rejected)
        json.member("skipped", outcome.skipped)
        json.member("more", outcome.after != nil)
        if let after = outcome.after { json.member("after", after) }
        if !outcome.errors.isEmpty {
            json.key("errors")
            json.beginArray()
            for (n, rejection) in outcome.errors {
                json.beginObject()
                json.member("n", n)
                json.member("code", rejection.code.rawValue)
                json.member("pointer", rejection.pointer)
                json.member("detail", rejection.detail)
                json.endObject()
            }
            json.endArray()
        }
        json.endObject()
        return Response(bytes: json.finish())
    }

    // MARK: Deleting

    private func delete(_ request: Request) async throws(RejectError) -> Response {
        let query: QueryItems
        do throws(TargetError) { query = try request.query() } catch { return request.problem(error) }
        let filter = try RejectFilter(query)
        let due = Deadline.after(Self.deletionTime)
        var deleted = 0
        var hasMore = true
        while hasMore, Deadline.now() < due {
            let some = try await store.deleteSome(filter, by: request.actor, requestID: request.id)
            deleted += some.deleted
            hasMore = some.found == RejectStore.deletionMax
        }
        var json = JSONWriter()
        json.beginObject()
        json.member("deleted", deleted)
        json.member("more", hasMore)
        json.endObject()
        return Response(bytes: json.finish())
    }

    private func deleteOne(_ request: Request) async throws(RejectError) -> Response {
        guard let n = request.parameters["n"].flatMap({ Int64($0) }) else { throw .notFound }
        try await store.delete(n, by: request.actor, requestID: request.id)
        return Response(status: 204, contentType: nil, bytes: [])
    }
}
