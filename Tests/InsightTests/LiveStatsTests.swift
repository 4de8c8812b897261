import Server
import TestSupport
import Testing

@testable import Insight

@Suite(.timeLimit(.minutes(2))) struct `Live statistics` {
    @Test func `are made once for all who listen, out of the sampler's look`() async throws {
        try await ReadSide.with { side in
            let listeners = try (0..<3).map { _ in try #require(side.routes.live.listen()) }
            // Nothing is known yet.
            await side.routes.sendLiveStats()
            #expect(listeners.allSatisfy { $0.queue.isEmpty })

            await side.sampler.look()
            await side.routes.sendLiveStats()

            let events = listeners.map { $0.queue.take() }
            #expect(Set(events.map { $0.map { String(decoding: $0, as: UTF8.self) } }).count == 1)
            let event = String(decoding: try #require(events.first?.first), as: UTF8.self)
            #expect(event.hasPrefix(#"data: {"totals":{"received":0,"#), "\(event)")
            #expect(event.hasSuffix("}\n\n") && event.contains(#""database":{"state":"up""#))
            withExtendedLifetime(listeners) {}
        }
    }

    @Test func `have a bound on how many listen`() async throws {
        var limits = InsightLimits()
        limits.listenersMax = 1
        try await ReadSide.with(limits) { side in
            let parameters = try side.parameters("", [])
            let response = try side.routes.liveStats(parameters)
            #expect(response.contentType == "text/event-stream")
            #expect(throws: ReadError.overloaded("All places for listeners are taken. Try again shortly.")) {
                _ = try side.routes.liveStats(parameters)
            }
            let refusal = ReadError.overloaded("Full.").response(requestID: "r")
            #expect(refusal.status == 503 && refusal.fields.contains { $0.0 == "Retry-After" })
            #expect(text(side.routes.metricsText()).contains("\nmillrace_stats_listeners 1\n"))
            withExtendedLifetime(response) {}
        }
    }
}
