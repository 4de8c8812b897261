import Foundation
import TestSupport
import Testing

@testable import Analytics

/// All kinds on real events: collected by others under `../shared/corpora/events`, no part of this
/// repository.
@Suite(
    .enabled(
        if: Corpora.areThere,
        "there are no real events: ../shared/corpora is missing beside the package"
    )
)
struct `Kinds on real events` {
    @Test(arguments: CorpusTests.files) func `find what holding all events finds`(file: String) throws {
        let events = try CorpusTests.events(file)
        #expect(events.count > 10)
        let (from, to) = (events[0].time, events[events.count - 1].time + 1)
        func result(_ kind: String, _ parameters: [String: AnalysisValue]) throws -> AnalysisValue {
            try Analysis.result(kind, parameters, events, from: from, to: to)
        }

        let types = Exact.counts(events) { .text($0.type) }.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
            .prefix(3).map { String($0.key.dropFirst(6).dropLast(2)) }
        let funnel = try result("funnel", ["steps": .list(types.map { .text($0) }), "window": "1d"])
        let reached = (funnel["steps"]?.elements ?? []).compactMap { $0["subjects"]?.integer }
        #expect(reached == Exact.funnel(events, steps: types, window: 86_400_000_000))

        let sessions = Exact.sessions(events, gap: 1_800_000_000)
        let found = try result("sessions", [:])
        #expect(found["sessions"]?.integer == Int64(sessions.count))
        #expect(found["bounces"]?.integer == Int64(sessions.count { $0.count == 1 }))

        let paths = Exact.paths(events, length: 2, gap: 1_800_000_000, collapse: false)
        for row in try result("paths", ["length": 2, "collapse": false])["paths"]?.elements ?? [] {
            let key = row["types"]?.elements.compactMap(\.text) ?? []
            #expect(row["count"]?.integer == paths[key], "\(key)")
        }

        let subjects = Exact.counts(events) { $0.subject.map { .text($0) } }
        let top = try result("top", ["by": "subject", "limit": 100])["values"]?.elements ?? []
        #expect(top.compactMap { $0["count"]?.integer } == Array(subjects.values.sorted(by: >).prefix(100)))

        let numbers = events.compactMap { $0.fields[0]?.number }
        let quantiles = try result("quantiles", ["field": "/n"])["all"]
        #expect(quantiles?["count"]?.integer == Int64(numbers.count))
        for row in quantiles?["quantiles"]?.elements ?? [] where !numbers.isEmpty {
            let exact = Exact.quantile(numbers, row["share"]?.number ?? 0)
            #expect(abs((row["value"]?.number ?? .nan) - exact) <= 0.01 * abs(exact))
        }
    }

    @Test(arguments: CorpusTests.files) func `find the periods and steps that holding all events finds`(
        file: String
    ) throws {
        let events = try CorpusTests.events(file)
        let (from, to) = (events[0].time, events[events.count - 1].time + 1)
        let day: Int64 = 86_400_000_000

        // A year at most, as the table is bounded.
        let end = min(to, from + 300 * day)
        let first = events.filter { $0.time < end }
        let start = from - ((from % day) + day) % day
        let retention = try Analysis.result("retention", ["periods": 64], first, from: from, to: end)
        let table = Exact.retention(first, start: start, period: day, columns: 64)
        let rows = retention["cohorts"]?.elements ?? []
        #expect(rows.count == table.count)
        for (row, exact) in zip(rows, table.sorted { $0.key < $1.key }) {
            let cells = row["subjects"]?.elements.compactMap(\.integer) ?? []
            #expect(cells == Array(exact.value.prefix(cells.count)))
        }

        let step = max((to - from) / 500 / 1_000_000, 1) * 1_000_000
        let steps = Int((to - from) / step)
        let parameters: [String: AnalysisValue] = ["step": .text("\(step / 1_000_000)s"), "threshold": 4]
        if steps >= 30, step <= 30 * day {
            let season = parameters.merging(["season": parameters["step"] ?? nil]) { $1 }
            let result = try Analysis.result("anomalies", season, events, from: from, to: to)
            var series = [Double](repeating: 0, count: steps)
            for event in events where Int((event.time - from) / step) < steps {
                series[Int((event.time - from) / step)] += 1
            }
            let scores = Exact.scores(series, season: nil, countsEvents: true)
            #expect(result["found"]?.integer == Int64(scores.count { abs($0) >= 4 }))
        }
    }
}

/// Where the real events are, and how they are read.
enum CorpusTests {
    static let folder = Corpora.folder.appending(path: "events")

    static let files: [String] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        // The last has nineteen events of as many types.
        return names.filter { $0.hasSuffix(".ndjson.gz") && !$0.hasPrefix("google") }.sorted()
    }()

    /// A question for each kind.
    static let questions: [(String, [String: AnalysisValue])] = [
        ("anomalies", ["step": "10m"]), ("correlate", ["step": "10m"]),
        ("funnel", ["steps": ["view", "cart", "pay"], "segment": "/plan"]), ("paths", [:]),
        ("quantiles", ["field": "/n", "by": "type"]), ("retention", ["period": "hour"]), ("sessions", [:]),
        ("top", ["by": "/n"]),
    ]

    struct Unreadable: Error {
        let file: String
    }

    /// The events of a file by their times; the first number of their data is their first field.
    ///
    /// Visits of a web site have no types of their own, so that theirs is made of method and status, and
    /// their subject the client.
    static func events(_ file: String) throws -> [AnalysisEvent] {
        let gzip = Process()
        gzip.executableURL = URL(filePath: "/bin/gzip")
        gzip.arguments = ["-dc", folder.appending(path: file).path]
        let pipe = Pipe()
        gzip.standardOutput = pipe
        try gzip.run()
        let bytes = try pipe.fileHandleForReading.readToEnd() ?? Data()
        gzip.waitUntilExit()
        let events = try bytes.split(separator: 10).map { line in
            guard let object = try JSONSerialization.jsonObject(with: line) as? [String: Any],
                let event = event(object)
            else { throw Unreadable(file: file) }
            return event
        }
        // Stable, as the order among equal times matters.
        return events.enumerated().sorted { ($0.element.time, $0.offset) < ($1.element.time, $1.offset) }
            .map(\.element)
    }

    private static func event(_ object: [String: Any]) -> AnalysisEvent? {
        guard let type = object["type"] as? String, let time = object["time"] as? String,
            let microseconds = microseconds(time)
        else { return nil }
        let data = object["data"] as? [String: Any] ?? [:]
        let number = data.keys.sorted().lazy.compactMap { data[$0] as? Double }.first
        var event = AnalysisEvent(
            time: microseconds,
            type: type,
            source: object["source"] as? String ?? "/",
            subject: object["subject"] as? String,
            fields: [number.map { .number($0) }]
        )
        if let client = data["client"] as? String, let status = data["status"] as? Int {
            event.subject = client
            event.type = "\(data["method"] ?? "") \(status)"
        }
        return event
    }

    /// Of a text like `2015-05-17T10:05:03.000Z`.
    private static func microseconds(_ text: String) -> Int64? {
        let numbers = text.split { !$0.isNumber }.compactMap { Int64($0) }
        guard numbers.count >= 6, text.hasSuffix("Z") else { return nil }
        var components = DateComponents()
        components.year = Int(numbers[0])
        components.month = Int(numbers[1])
        components.day = Int(numbers[2])
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        guard let date = calendar.date(from: components) else { return nil }
        let day = Int64(date.timeIntervalSince1970)
        let milliseconds = numbers.count > 6 ? numbers[6] : 0
        return (day + numbers[3] * 3_600 + numbers[4] * 60 + numbers[5]) * 1_000_000 + milliseconds * 1_000
    }
}
