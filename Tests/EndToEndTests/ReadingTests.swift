import Foundation
import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test(.enabled(if: EventFiles.areThere, "\(EventFiles.absence)"))
    func `reads back every event of a file once, alone and in pages, and adds them up in series`()
        async throws
    {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let file = try await EventFile.read("usgs-earthquakes.ndjson.gz", on: installation.loop)
            _ = try await service.stream(file.bytes)
            let ids = file.distinct.map(\.id).sorted()

            for order in ["asc", "desc"] {
                let events = try await pages(of: "/v1/events?limit=100&order=\(order)", from: service)
                #expect(events.map(\.id).sorted() == ids, "\(order)")
                let times = events.compactMap(\.time)
                #expect(times == (order == "asc" ? times.sorted() : times.sorted(by: >)), "\(order)")
            }
            let export = try await service.get("/v1/events", fields: [("Accept", "application/x-ndjson")])
            let lines = export.body.split(separator: 10)
            let exported = try lines.map { try JSONDecoder().decode(EventFile.Event.self, from: Data($0)) }
            #expect(exported.map(\.id).sorted() == ids)

            let some = try #require(file.distinct.first)
            let receipt = try await service.get("/v1/events/\(some.id)", as: Receipt.self)
            #expect(receipt.verdict == "stored")
            #expect(receipt.type == some.type)
            #expect(receipt.source == some.source)
            #expect(try await service.get("/v1/events/nobody-has-this-id").status == 404)

            try await service.waitForAnalytics()
            let times = file.distinct.compactMap { $0.time?.prefix(16) }.sorted()
            let (first, last) = (try #require(times.first), try #require(times.last))
            let range = "from=\(first):00Z&to=\(last):59Z&step=1h"
            let month = "type=\(some.type)&from=2018-01-19T00:00:00Z&to=2018-02-18T00:00:00Z&step=30d"
            let subjects = try await service.get("/v1/stats/series?metric=subjects&\(month)", as: Series.self)
            let known = Set(file.distinct.compactMap(\.subject)).count
            #expect(subjects.points.map { $0.value?.rounded() } == [Double(known)])
            let series = try await service.get("/v1/stats/series?metric=count&\(range)", as: Series.self)
            #expect(series.points.reduce(0) { $0 + ($1.value ?? 0) } == Double(ids.count))
        }
    }

    /// Follows the cursor to its end.
    private func pages(of path: String, from service: RunningService) async throws -> [EventFile.Event] {
        var events: [EventFile.Event] = []
        var page = try await service.get(path, as: Page.self)
        events += page.events
        while let cursor = page.nextCursor {
            let escaped = cursor.addingPercentEncoding(withAllowedCharacters: .alphanumerics)
            page = try await service.get("\(path)&cursor=\(escaped ?? "")", as: Page.self)
            events += page.events
        }
        return events
    }

    private struct Page: Decodable {
        var events: [EventFile.Event]
        var nextCursor: String?
    }

    private struct Receipt: Decodable {
        var type: String
        var source: String
        var verdict: String
    }

    private struct Series: Decodable {
        struct Point: Decodable {
            var value: Double?
        }

        var points: [Point]
    }

    @Test func `says that it is alive and ready, what it has counted, and shows a page`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let event = #"{"id":"only","type":"t","source":"/s","data":{"n":1}}"#
            #expect(try await post(event, to: service) == 200)
            #expect(try await post(event, to: service) == 200)
            #expect(try await post("{}", to: service) == 422)

            #expect(try await service.get("/healthz").status == 200)
            #expect(try await service.get("/readyz").status == 200)
            let page = try await service.get("/")
            #expect(page.status == 200)
            #expect(page.fields["content-type"]?.hasPrefix("text/html") == true)
            #expect(page.text.contains("</html>"))

            let metrics = try await service.get("/metrics")
            #expect(metrics.status == 200)
            let samples = try samples(of: metrics.text)
            #expect(samples["millrace_events_received_total"] == 3)
            #expect(samples["millrace_events_stored_total"] == 1)
            #expect(samples["millrace_events_duplicates_total"] == 1)
            #expect(samples["millrace_events_rejected_total"] == 1)
            #expect(samples["millrace_ingest_queue_seconds_count"] == samples["millrace_flushes_total"])
            try await service.waitForAnalytics()
            #expect(try await service.stats().countsByType == ["t": 1])
        }
    }

    private func post(_ event: String, to service: RunningService) async throws -> Int {
        try await service.connect {
            try await $0.send("POST", "/v1/events", fields: RunningService.json, body: Array(event.utf8))
                .status
        }
    }

    /// The samples without labels of a Prometheus text; every line has to be of its grammar.
    private func samples(of text: String) throws -> [String: Double] {
        let comment = /# (HELP|TYPE) [a-zA-Z_:][a-zA-Z0-9_:]* .+/
        let sample = /([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^{}]*\})? (\S+)/
        var samples: [String: Double] = [:]
        for line in text.split(separator: "\n") where line.wholeMatch(of: comment) == nil {
            let match = try #require(line.wholeMatch(of: sample), "\(line)")
            let value = try #require(Double(match.3), "\(line)")
            if match.2 == nil { samples[String(match.1)] = value }
        }
        return samples
    }
}
