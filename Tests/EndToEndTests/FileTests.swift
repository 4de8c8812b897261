import Reactor
import Testing

extension `End to end` {
    @Test(.enabled(if: EventFiles.areThere, "\(EventFiles.absence)"))
    func `counts every event of every file once, in the table and in the rollups, however often it is sent`()
        async throws
    {
        try await Installation.with { installation in
            let service = try await installation.serve()
            var files: [EventFile] = []
            for name in try EventFiles.names() { files.append(try await .read(name, on: installation.loop)) }
            #expect(!files.isEmpty)
            var expected: [String: Int] = [:]

            for file in files {
                let answer = try await service.stream(file.bytes)
                let distinct = file.distinct.count
                #expect(
                    answer
                        == IngestAnswer(
                            received: file.events.count,
                            stored: distinct,
                            duplicates: file.events.count - distinct,
                            rejected: 0
                        ),
                    "\(file.name)"
                )
                expected.merge(file.countsByType, uniquingKeysWith: +)
            }
            try await service.waitForAnalytics()
            let first = try await StoredFacts.read(installation)
            first.expect(expected, "the first time")
            #expect(try await service.stats().countsByType == expected)

            for file in files {
                let answer = try await service.stream(file.bytes)
                let count = file.events.count
                #expect(
                    answer == IngestAnswer(received: count, stored: 0, duplicates: count, rejected: 0),
                    "\(file.name) again"
                )
            }
            try await service.waitForAnalytics()
            #expect(try await StoredFacts.read(installation) == first)
            let stats = try await service.stats()
            #expect(stats.countsByType == expected)
            let sent = 2 * files.reduce(0) { $0 + $1.events.count }
            let stored = expected.values.reduce(0, +)
            #expect(
                stats.totals
                    == Stats.Totals(received: sent, stored: stored, duplicates: sent - stored, rejected: 0)
            )
        }
    }
}
