import Events

/// What the server says became of a chunk's events.
struct SendAnswer: Equatable, Sendable {
    struct Refusal: Equatable, Sendable {
        /// Among the chunk's events, from 0.
        let index: Int
        let id: String?
        let code: String
        let pointer: String
        let detail: String
    }

    var stored = 0
    var duplicates = 0
    var rejected = 0
    /// Of the stored, those that are in the server's spool until its database is back.
    var spooled = 0
    /// The rejected, as far as the server lists them.
    var refusals: [Refusal] = []

    /// Reads the body of an answer to `POST /v1/events`; `nil` when it is none, or does not add up to
    /// `events`.
    init?(_ body: [UInt8], events: Int) {
        guard let object = try? JSONReader.object(body), let received = object["received"]?.integer,
            let stored = object["stored"]?.integer, let duplicates = object["duplicates"]?.integer,
            let rejected = object["rejected"]?.integer,
            [stored, duplicates, rejected].allSatisfy({ 0...Int64(events) ~= $0 }),
            received == Int64(events), stored + duplicates + rejected == received
        else { return nil }
        self.stored = Int(stored)
        self.duplicates = Int(duplicates)
        self.rejected = Int(rejected)
        if object["durability"]?.string == "spooled" { spooled = self.stored }
        guard case .array(let errors)? = object["errors"] else { return }
        refusals = errors.compactMap { entry in
            guard let members = entry.object, let index = members["index"]?.integer,
                0..<Int64(events) ~= index
            else { return nil }
            return Refusal(
                index: Int(index),
                id: members["id"]?.string,
                code: members["code"]?.string ?? "rejected",
                pointer: members["pointer"]?.string ?? "",
                detail: members["detail"]?.string ?? ""
            )
        }
    }
}

/// What an answer means for the chunk that it answers.
enum SendVerdict: Equatable, Sendable {
    case done(SendAnswer)
    /// Send the same again; not before the time that the server asks for.
    case again(reason: String, retryAfter: Duration?)
    /// Too much for one request, perhaps for a proxy in front of the server; less might do.
    case tooLarge(reason: String)
    /// Sending it again would change nothing.
    case refused(reason: String)

    init(_ response: HTTPResponse, events: Int) {
        switch response.status {
        case 200, 202, 422:
            if let answer = SendAnswer(response.body, events: events) {
                self = .done(answer)
            } else {
                self = .refused(reason: Self.reason(response))
            }
        case 413: self = .tooLarge(reason: Self.reason(response))
        // These say that the server cannot, whenever it is asked.
        case 501, 505: self = .refused(reason: Self.reason(response))
        case 408, 429, 500...599:
            // The form with a date would need this machine's clock to be right.
            let seconds = response.value(of: "retry-after").flatMap { SettingText.count($0, in: 0...86_400) }
            self = .again(reason: Self.reason(response), retryAfter: seconds.map { .seconds($0) })
        default: self = .refused(reason: Self.reason(response))
        }
    }

    /// The status, and what a problem (RFC 9457) says.
    private static func reason(_ response: HTTPResponse) -> String {
        let problem = try? JSONReader.object(response.body)
        let words = ["title", "detail"].compactMap { problem?[$0]?.string }.filter { !$0.isEmpty }
        return (["status \(response.status)"] + words).joined(separator: ": ")
    }
}

/// When a chunk is sent again, and when not any more.
struct SendRetry: Sendable {
    let retriesMax: Int
    /// Failures of this chunk so far.
    private(set) var failures = 0

    static let pauseMin = Duration.milliseconds(200)
    static let pauseMax = Duration.seconds(30)

    init(retriesMax: Int) {
        self.retriesMax = retriesMax
    }

    /// The pause before the next attempt; `nil` to give up.
    ///
    /// Exponential, cut by up to half at random, so that many clients do not come back at once. The server's
    /// own wish is honoured: alone the first time, later as the least.
    mutating func pause(
        retryAfter: Duration?,
        using generator: inout some RandomNumberGenerator
    ) -> Duration? {
        failures += 1
        if failures > retriesMax { return nil }
        let longest = min(Self.pauseMax, Self.pauseMin * (1 << min(failures - 1, 16)))
        let pause = longest / 1_000 * Int.random(in: 500...1_000, using: &generator)
        guard let retryAfter else { return pause }
        return failures == 1 ? retryAfter : max(pause, retryAfter)
    }
}
