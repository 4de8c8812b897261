import HTTP
import Reactor
import Testing

@testable import Ingest
@testable import Server

@Suite struct `Ingest options` {
    private static func request(_ query: String) throws -> Request {
        var parser = RequestParser(limits: HTTPLimits())
        var head = RequestHead()
        let text = Array("POST /v1/events\(query) HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".utf8)
        _ = try #require(try parser.parse(text.span, into: &head))
        return Request(head: head, parameters: [:], peer: .local, number: 1)
    }

    private static func status(_ query: String) throws -> Int? {
        switch IngestOptions.read(try request(query)) {
        case .success: nil
        case .failure(let refused): refused.response.status
        }
    }

    @Test(arguments: [
        ("", IngestOptions()),
        ("?", IngestOptions()),
        ("?ack=committed&atomic=false", IngestOptions()),
        ("?ack=spooled", IngestOptions(acknowledgement: .spooled)),
        ("?ack=none", IngestOptions(acknowledgement: .none)),
        ("?atomic=true", IngestOptions(isAtomic: true)),
        ("?validate=only", IngestOptions(isDryRun: true)),
        ("?verdicts=all&validate=only", IngestOptions(isDryRun: true, listsVerdicts: true)),
        ("?v%65rdicts=a%6Cl", IngestOptions(listsVerdicts: true)),
        ("?key=abc&other=1", IngestOptions()),
    ])
    func `are read from the query`(query: String, expected: IngestOptions) throws {
        #expect(try IngestOptions.read(Self.request(query)).get() == expected)
    }

    @Test(arguments: [
        "?ack=", "?ack=yes", "?ack=Committed", "?atomic=maybe", "?validate=all", "?validate=",
        "?verdicts=none",
        "?verdicts=all&verdicts=some", "?ack=%zz",
    ])
    func `refuse values that are not known`(query: String) throws {
        #expect(try Self.status(query) == 400)
    }
}
