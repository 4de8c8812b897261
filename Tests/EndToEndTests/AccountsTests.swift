import Glibc
import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test func `raises an alarm in the metrics when the accounts do not add up`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let events = MadeEvents(20, prefix: "accounts", seed: 3)
            _ = try await service.stream(events.lines)
            let checked = /\nmillrace_accounts_checked_timestamp_seconds [1-9]/
            try await until("the accounts were checked", on: installation.loop) {
                try await service.get("/metrics").text.contains(checked)
            }
            let metrics = try await service.get("/metrics").text
            #expect(metrics.contains("\nmillrace_accounts_mismatch_events 0\n"))
            for (route, outcome, count) in [
                ("events", "received", 20), ("events", "stored", 20), ("events", "duplicates", 0),
                ("replay", "stored", 0),
            ] {
                let labels = #"{outcome="\#(outcome)",route="\#(route)"}"#
                #expect(metrics.contains("\nmillrace_accounts_events_total\(labels) \(count)\n"))
            }
            await service.program.signal(SIGTERM)
            #expect(await service.program.exit() == .exited(0))
            let sums = "SELECT sum(received) || ' ' || sum(stored) FROM accounts"
            #expect(try await installation.query(sums) == [["20 20"]])

            try await installation.query("UPDATE accounts SET stored = stored + 2")
            let next = try await installation.serve()
            try await until("the alarm is raised", on: installation.loop) {
                try await next.get("/metrics").text.contains("\nmillrace_accounts_mismatch_events 2\n")
            }
            #expect(next.program.log().contains("the accounts do not add up"))
        }
    }
}
