import CoreMetrics
import Insight
import Testing

@Suite struct `Prometheus text` {
    private func text(_ record: (PrometheusMetrics) -> Void) -> String {
        let metrics = PrometheusMetrics()
        record(metrics)
        var text = PrometheusText()
        metrics.write(to: &text)
        return String(decoding: text.bytes, as: UTF8.self)
    }

    @Test func `has a HELP and a TYPE line before each family's samples`() {
        let text = text { metrics in
            Counter(label: "millrace_events_stored_total", factory: metrics).increment(by: 3)
            Counter(label: "millrace_http_responses", dimensions: [("class", "2xx")], factory: metrics)
                .increment()
            Meter(label: "millrace_database_up", factory: metrics).set(1)
        }

        #expect(
            text.contains(
                """
                # HELP millrace_events_stored_total Events that were stored.
                # TYPE millrace_events_stored_total counter
                millrace_events_stored_total 3

                """
            )
        )
        #expect(text.contains("\nmillrace_http_responses_total{class=\"2xx\"} 1\n"))
        #expect(text.contains("# TYPE millrace_database_up gauge\nmillrace_database_up 1\n"))
    }

    @Test func `escapes labels and spells names as Prometheus wants them`() {
        let text = text { metrics in
            Counter(
                label: "http.requests-total",
                dimensions: [("path", "a\\b\"c\nd"), ("2nd", "é"), ("le", "x")],
                factory: metrics
            ).increment()
        }

        #expect(text.contains(#"http_requests_total_total{_2nd="é",label_le="x",path="a\\b\"c\nd"} 1"#))
    }

    @Test func `makes histograms of timers, in seconds, with cumulative buckets`() {
        let text = text { metrics in
            let timer = Timer(label: "millrace_flush_duration", factory: metrics)
            timer.recordNanoseconds(400_000)
            timer.recordNanoseconds(400_000)
            timer.recordNanoseconds(2_000_000_000)
            timer.recordNanoseconds(90_000_000_000)
        }

        #expect(text.contains("# TYPE millrace_flush_duration_seconds histogram\n"))
        #expect(text.contains("millrace_flush_duration_seconds_bucket{le=\"0.00025\"} 0\n"))
        #expect(text.contains("millrace_flush_duration_seconds_bucket{le=\"0.0005\"} 2\n"))
        #expect(text.contains("millrace_flush_duration_seconds_bucket{le=\"2.5\"} 3\n"))
        #expect(text.contains("millrace_flush_duration_seconds_bucket{le=\"60\"} 3\n"))
        #expect(text.contains("millrace_flush_duration_seconds_bucket{le=\"+Inf\"} 4\n"))
        #expect(text.contains("millrace_flush_duration_seconds_count 4\n"))
    }

    @Test func `can be parsed line by line, whatever was recorded`() throws {
        let text = text { metrics in
            for label in ["a", "b.c", "", "9", "millrace_x_seconds", "ü"] {
                Counter(label: label, dimensions: [("k", label), ("k2", "\"\\\n")], factory: metrics)
                    .increment()
                Recorder(label: label + "_sizes", factory: metrics).record(17.5)
                Gauge(label: label + "_last", factory: metrics).record(-1.5e300)
                Timer(label: label + "_time", factory: metrics).recordMilliseconds(3)
            }
        }

        let findings = PrometheusCheck.findings(text)
        #expect(findings.isEmpty, "\(findings)")
        #expect(PrometheusCheck.findings("# TYPE a counter\na{x=\"y} 1\n").count > 0)
        #expect(PrometheusCheck.findings("b 1\n").count > 0)
    }

    @Test func `counts for all who made the same counter`() {
        let text = text { metrics in
            Counter(label: "millrace_connects_total", factory: metrics).increment()
            let second = Counter(label: "millrace_connects_total", factory: metrics)
            second.increment(by: 2)
            second.destroy()
        }

        #expect(text.contains("\nmillrace_connects_total 3\n"))
    }

    @Test func `leaves out series beyond its limit and names of another kind, and says so`() {
        let metrics = PrometheusMetrics(seriesMax: 2)
        for number in 0..<5 {
            Counter(label: "a_total", dimensions: [("n", "\(number)")], factory: metrics).increment()
        }
        Meter(label: "a_total", factory: metrics).set(7)

        var text = PrometheusText()
        metrics.write(to: &text)
        let lines = String(decoding: text.bytes, as: UTF8.self).split(separator: "\n")

        #expect(lines.count { $0.hasPrefix("a_total") } == 2)
        #expect(lines.contains("millrace_metrics_omitted 4"))
    }

    @Test func `adds up what many tasks record`() async {
        let metrics = PrometheusMetrics()
        await withTaskGroup { group in
            for _ in 0..<8 {
                group.addTask {
                    let counter = Counter(label: "millrace_a_total", factory: metrics)
                    let timer = Timer(label: "millrace_b_seconds", factory: metrics)
                    for _ in 0..<1_000 {
                        counter.increment()
                        timer.recordNanoseconds(1_000_000)
                    }
                }
            }
        }

        #expect(metrics.count("millrace_a_total") == 8_000)
        #expect(metrics.histogram("millrace_b_seconds")?.count == 8_000)
    }
}

@Suite struct `A histogram` {
    @Test func `estimates quantiles within the width of a bucket`() throws {
        var histogram = Histogram(bounds: [1, 2, 4, 8])
        for value in stride(from: 0.01, through: 4, by: 0.01) { histogram.record(value) }

        for q in [0.1, 0.5, 0.9, 0.99] {
            let estimate = try #require(histogram.quantile(q))
            #expect(abs(estimate - 4 * q) < 0.05, "q \(q): \(estimate)")
        }
    }

    @Test func `answers nothing without values, and its last bound for what is above`() {
        var histogram = Histogram(bounds: [1, 2])
        #expect(histogram.quantile(0.5) == nil)
        histogram.record(.nan)
        #expect(histogram.count == 0)
        histogram.record(1_000)
        #expect(histogram.quantile(0.5) == 2)
    }

    @Test func `can be told apart from a former state of itself`() {
        var histogram = Histogram(bounds: [1, 2])
        histogram.record(0.5)
        let before = histogram
        histogram.record(1.5)

        let since = histogram.since(before)

        #expect(since.counts == [0, 1, 0])
        #expect(since.sum == 1.5)
    }
}

@Suite struct `Process facts` {
    @Test func `are read from the right fields, whatever the program is called`() throws {
        let fields = (3...52).map { "\($0)" }.joined(separator: " ")
        let facts = try #require(ProcessFacts(stat: "123 (a) b (c) \(fields)"))
        #expect(facts.cpuSeconds == 0.29)
        #expect(facts.residentBytes == 98_304 as Int64)
    }

    @Test(arguments: ["", "1 (a", "1 (a) S 1 2 3"]) func `are none in other text`(text: String) {
        #expect(ProcessFacts(stat: text) == nil)
    }
}

/// A reader of the text format that is stricter than Prometheus' own.
enum PrometheusCheck {
    static func findings(_ text: String) -> [String] {
        var findings: [String] = []
        var types: [String: String] = [:]
        var seen: Set<String> = []
        if !text.hasSuffix("\n") { findings.append("the last line does not end") }
        for line in text.split(separator: "\n", omittingEmptySubsequences: true).map(String.init) {
            if let match = line.wholeMatch(of: /# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)/)
            {
                if types.updateValue(String(match.2), forKey: String(match.1)) != nil {
                    findings.append("twice: \(line)")
                }
                continue
            }
            if line.wholeMatch(of: /# HELP [a-zA-Z_:][a-zA-Z0-9_:]* .*/) != nil { continue }
            let label = #"[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\["\\n])*""#
            guard
                let sample = try? Regex(
                    #"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{"# + label + "(?:," + label
                        + #")*\})? (NaN|[+-]Inf|-?[0-9.]+(?:e[+-]?[0-9]+)?)"#,
                    as: (Substring, Substring, Substring?, Substring).self
                ), let match = line.wholeMatch(of: sample)
            else {
                findings.append("no sample: \(line)")
                continue
            }
            let name = String(match.output.1)
            let family = ["_bucket", "_sum", "_count"].lazy.filter { name.hasSuffix($0) }
                .map { String(name.dropLast($0.count)) }.first { types[$0] == "histogram" }
            if types[family ?? name] == nil { findings.append("no TYPE before: \(line)") }
            if !seen.insert(name + (match.output.2 ?? "")).inserted { findings.append("again: \(line)") }
        }
        return findings
    }
}
