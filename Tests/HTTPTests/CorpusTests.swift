import FoundationEssentials
import HTTP
import Testing

/// One line of the corpus; its fields are explained at the head of `shared/tools/run_http_cases.py`.
private struct CorpusCase: Decodable {
    enum CodingKeys: String, CodingKey {
        case name, expect, also, responses, then
        case canWait = "wait_ok"
        case responsesMax = "max_responses"
        case raw = "raw_base64"
        case rest = "then_send_base64"
    }

    let name: String
    let expect: String
    let also: [Int]?
    let responses: Int?
    let then: String?
    let canWait: Bool?
    let responsesMax: Int?
    let raw: String?
    let rest: String?

    /// The bytes; `nil` for the few that are zlib-compressed because they are huge: the limit tests make
    /// their like.
    var bytes: [UInt8]? {
        guard let raw = raw.flatMap({ Data(base64Encoded: $0) }) else { return nil }
        return Array(raw) + (rest.flatMap { Data(base64Encoded: $0) } ?? Data())
    }
}

@Suite struct `Corpus of requests` {
    /// The corpus is shared between the parts of the project and lies beside the package.
    private static let url = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "../shared/corpora/http/http1-cases.jsonl")

    private static func cases() throws -> [CorpusCase] {
        try Data(contentsOf: url).split(separator: UInt8(ascii: "\n")).map {
            try JSONDecoder().decode(CorpusCase.self, from: $0)
        }
    }

    /// Targets and methods that a parser lets through and a router refuses.
    private static let refusedByRouter: Set<String> = [
        "rl-method-unknown", "rl-method-token-chars", "me-m-search", "tg-connect", "tg-dot-escape-root",
        "tg-case",
    ]

    /// `.enabled(if:)` shows the test as skipped where the package is checked out alone.
    @Test(.enabled(if: FileManager.default.fileExists(atPath: url.path), "the shared corpora are not here"))
    func `is judged the same whole and byte by byte, and as expected`() throws {
        let cases = try Self.cases()
        #expect(cases.count > 200)
        for item in cases {
            guard let bytes = item.bytes else { continue }
            let whole = Conversation(whole: bytes)
            #expect(Conversation(dribbled: bytes) == whole, "\(item.name)")
            judge(item, whole)
        }
    }

    private func judge(_ item: CorpusCase, _ result: Conversation) {
        let found = "\(item.name): \(result.messages.count) requests, \(String(describing: result.error))"
        switch item.expect {
        case "accept":
            // An error may follow the requests that count (`pl-valid-then-error`).
            #expect(result.messages.count >= item.responses ?? 1, "\(found)")
            #expect(result.messages.count <= item.responsesMax ?? item.responses ?? 1, "\(found)")
            if item.then == "keep" { #expect(result.messages.last?.keepsAlive == true, "\(found)") }
            if item.then == "close" { #expect(result.messages.last?.keepsAlive == false, "\(found)") }
        case "400" where Self.refusedByRouter.contains(item.name):
            #expect(result.error == nil || result.error?.status == 400, "\(found)")
        case "400":
            guard let error = result.error else {
                #expect(item.canWait == true && result.messages.isEmpty, "\(found)")
                return
            }
            #expect(([400] + (item.also ?? [])).contains(error.status), "\(found)")
            #expect(result.messages.isEmpty, "\(found)")
        case "either", "close":
            #expect(result.messages.count <= item.responsesMax ?? 2, "\(found)")
            if let status = result.error?.status {
                #expect(status < 500 || status == 501 || status == 505, "\(found)")
            }
        default: Issue.record("unknown expectation: \(found)")
        }
    }
}
