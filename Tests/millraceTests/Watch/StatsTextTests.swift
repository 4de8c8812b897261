import Events
import Testing

@testable import millrace

@Suite struct `Statistics as text` {
    private static let answer = #"""
        {"totals":{"received":1234567,"stored":1234000,"duplicates":500,"rejected":67,"shed":0,
                   "spooled":0},
         "rates":{"1s":12345.6,"1m":9.04,"5m":null,"15m":0},
         "latency":{"p50_ms":1.25,"p90_ms":3,"p99_ms":120.4,"requests":1234,"window_s":60},
         "types_count":3,"types":[{"type":"page.view","count":300,"last_at":"x"},
                                  {"type":"bad\u001b[2J\u202e","count":100,"last_at":"x"}],
         "analytics":{"lag_s":0.4,"lag_events":12,"jobs":{"ready":3,"leased":1,"scheduled":0,"dead":2}},
         "workers":[{"slot":0,"pid":7,"state":"busy","kind":"rollup","job_age_s":1.5,
                     "jobs_done":8,"restarts":1,
                     "rss_bytes":34000000},
                    {"slot":1,"pid":null,"state":"idle","kind":null,"jobs_done":0,"restarts":0,
                     "rss_bytes":null}],
         "database":{"state":"away","kind":"embedded","version":"15.18","stale_s":3},
         "spool":{"events":5,"bytes":1,"breaker":"open"}}
        """#

    private func text(_ json: String) throws -> StatsText {
        StatsText(try JSONReader.object(Array(json.utf8)))
    }

    @Test func `says each figure once, in words and groups of thousands`() throws {
        #expect(
            try text(Self.answer).lines() == [
                "events     received 1,234,567   stored 1,234,000   duplicates 500   rejected 67   "
                    + "spooled 0   shed 0",
                "rate       12,346/s now   9/s 1 min   -/s 5 min   0/s 15 min",
                "latency    p50 1.3 ms   p90 3 ms   p99 120 ms   of 1,234 requests in 60 s",
                "analytics  0.4 s behind, 12 events   jobs: 3 ready, 1 leased, 0 scheduled, 2 dead",
                "database   away (embedded, 15.18, figures 3 s old)   spool: 5 events, breaker open",
                "worker  0  busy rollup for 1.5 s   8 jobs done, 1 restarts, 34 MB",
                "worker  1  idle   0 jobs done, 0 restarts, - MB",
                "types      the most frequent of 3",
                "  page.view              300     75 %",
                "  bad?[2J?               100     25 %",
            ]
        )
    }

    @Test func `is one line for logs, and cut to a terminal's width`() throws {
        let line = try text(Self.answer).line
        #expect(line.hasPrefix("12,346/s  received 1,234,567  stored 1,234,000  "))
        #expect(line.hasSuffix("p99 120 ms  behind 0.4 s  database away"))
        #expect(try text(Self.answer).lines(columns: 20, typesMax: 1).allSatisfy { $0.count <= 20 })
        #expect(try text(Self.answer).lines(typesMax: 1).count == 9)
    }

    @Test func `has dashes for what the server does not say`() throws {
        let lines = try text("{}").lines()
        #expect(lines.count == 5)
        #expect(lines[0].hasPrefix("events     received -   stored -"))
    }
}
