import HTTP
import Testing

/// The same input gives the same requests however it is cut.
@Suite struct `Cut input` {
    static let plain =
        "POST /v1/events?a=b HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Length: 5\r\n\r\nhello"
    static let chunked =
        "POST /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        + "4;a=\"b\\\";\"\r\nwiki\r\n05 ; x\r\npedia\r\n000\r\nX-Sum: 1\r\nY:\r\n\r\n"
    static let pipelined = "\(plain)\(chunked)\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    @Test func `is whole`() {
        let conversation = Conversation(whole: Array(Self.pipelined.utf8))
        #expect(conversation.error == nil)
        #expect(conversation.messages.map(\.path) == ["/v1/events", "/c", "/"])
        #expect(
            conversation.messages.map { String(decoding: $0.body, as: UTF8.self) } == [
                "hello", "wikipedia", "",
            ]
        )
        #expect(!conversation.isIncomplete)
    }

    @Test func `gives the same at every single cut`() {
        for text in [Self.plain, Self.chunked, Self.pipelined] {
            let bytes = Array(text.utf8)
            let whole = Conversation(whole: bytes)
            for cut in 0...bytes.count {
                #expect(Conversation(bytes, reads: [cut, bytes.count]) == whole, "cut at \(cut)")
            }
            #expect(Conversation(dribbled: bytes) == whole)
        }
    }

    @Test func `gives the same at every pair of cuts`() {
        let bytes = Array(Self.chunked.utf8)
        let whole = Conversation(whole: bytes)
        for first in 0...bytes.count {
            for second in first...bytes.count
            where Conversation(bytes, reads: [first, second, bytes.count]) != whole {
                Issue.record("cut at \(first) and \(second)")
            }
        }
    }

    /// Never an error, never a request too early.
    @Test func `waits at every truncation`() {
        for text in [Self.plain, Self.chunked] {
            let bytes = Array(text.utf8)
            for count in 1..<bytes.count {
                let conversation = Conversation(whole: Array(bytes[..<count]))
                #expect(conversation.error == nil, "\(count) bytes")
                #expect(conversation.messages.isEmpty, "\(count) bytes")
                #expect(conversation.isIncomplete, "\(count) bytes")
            }
        }
    }

    /// Any bytes at all: the two ways of reading agree, and nothing traps.
    @Test func `agrees with whole input on damaged requests`() {
        let original = Array(Self.pipelined.utf8)
        for seed in UInt64(0)..<600 {
            var random = SeededRandom(seed: seed)
            var bytes = original
            for _ in 0...Int.random(in: 0..<3, using: &random) {
                let place = Int.random(in: bytes.indices, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                default:
                    bytes.insert([13, 10, 32, 58, 0, 59, 48].randomElement(using: &random) ?? 0, at: place)
                }
            }
            #expect(Conversation(dribbled: bytes) == Conversation(whole: bytes), "seed \(seed)")
        }
    }
}
