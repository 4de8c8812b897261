import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Strict dedup` {
    private static func event(_ id: String, time: Int? = nil, source: String = "/a") -> String {
        let time = time.map { #","time":"2026-01-01T00:00:0\#($0)Z""# } ?? ""
        return #"{"id":"\#(id)","source":"\#(source)","type":"t"\#(time)}"#
    }

    @Test func `knows an event by id and source alone, in a body, a memory and the database`() async throws {
        try await Installation.with { installation in
            try await installation.withNode(dedup: .strict) { node in
                let body = [Self.event("x", time: 1), Self.event("x", time: 2), Self.event("x")]
                #expect(try await node.store(body) == [.stored, .duplicate, .duplicate])
                try await node.expect(.duplicate, of: [Self.event("x", time: 3)])
                try await node.expect(.stored, of: [Self.event("x", time: 1, source: "/b"), Self.event("y")])
            }
            // Without the other's memory.
            try await installation.withNode(dedup: .strict) { node in
                try await node.expect(.duplicate, of: [Self.event("x", time: 4), Self.event("y", time: 5)])
                try await node.expect(.stored, of: Decoded.fresh([1, 2]))
            }
            #expect(try await installation.number("SELECT count(*) FROM events") == 5)
            #expect(try await installation.number("SELECT count(*) FROM event_keys") == 3)
            let totals = try await installation.totals()
            #expect(totals.stored == 5 && totals.duplicates == 5)
        }
    }

    @Test func `stores one of those that race on two nodes, whatever their times`() async throws {
        try await Installation.with { installation in
            try await installation.withNode(dedup: .strict) { one in
                try await installation.withNode(dedup: .strict) { other in
                    for round in 0..<20 {
                        let ids = (0..<10).map { "\(round)-\($0)" }
                        async let first = one.store(ids.map { Self.event($0, time: 1) })
                        async let second = other.store(ids.reversed().map { Self.event($0, time: 2) })
                        let verdicts = try await first + second
                        #expect(verdicts.count { $0 == .stored } == 10)
                        #expect(verdicts.count { $0 == .duplicate } == 10)
                    }
                }
            }
            #expect(try await installation.number("SELECT count(*) FROM events") == 200)
        }
    }

    @Test func `is not the rule where nobody asks for it`() async throws {
        try await Installation.with { installation in
            try await installation.withNode { node in
                try await node.expect(.stored, of: [Self.event("x", time: 1), Self.event("x", time: 2)])
            }
        }
    }
}
