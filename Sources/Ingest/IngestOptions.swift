import HTTP
import Server

/// What a writing request asks for in its query (HTTP contract, "Writing").
struct IngestOptions: Equatable, Sendable {
    enum Acknowledgement: String {
        case committed
        case spooled
        case none
    }

    var acknowledgement = Acknowledgement.committed
    /// All of the body's events or none.
    var isAtomic = false
    var isDryRun = false
    var listsVerdicts = false

    /// Reads the query; a value that is not known is refused with an answer that names it.
    static func read(_ request: Request) -> Result<IngestOptions, RefusedRequest> {
        let items: QueryItems
        do throws(TargetError) { items = try request.query() } catch {
            return .failure(RefusedRequest(response: request.problem(error)))
        }
        var options = IngestOptions()
        for item in items.items {
            let isKnown: Bool
            switch (item.name, item.value) {
            case ("ack", let value):
                let known = Acknowledgement(rawValue: value)
                options.acknowledgement = known ?? .committed
                isKnown = known != nil
            case ("atomic", let value):
                options.isAtomic = value == "true"
                isKnown = options.isAtomic || value == "false"
            case ("validate", let value):
                options.isDryRun = value == "only"
                isKnown = options.isDryRun
            case ("verdicts", let value):
                options.listsVerdicts = value == "all"
                isKnown = options.listsVerdicts
            default: isKnown = true
            }
            if !isKnown {
                let detail = "The query parameter \(item.name) does not take this value."
                return .failure(RefusedRequest(response: request.problem(400, "invalid_parameter", detail)))
            }
        }
        return .success(options)
    }
}

/// A request that has got its answer already: a refusal.
struct RefusedRequest: Error {
    let response: Response
}
