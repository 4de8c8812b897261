import ArgumentParser
import Events
import HTTP
import Reactor

/// `millrace bench-scan`: what the check and the decoding of events cost, without anything around them.
struct BenchScanCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-scan",
        abstract: "Measure the JSON scanner and the event decoder on one core.",
        shouldDisplay: false
    )

    /// About 9 MB: more than the caches nearest to a core hold.
    private static let events = 20_000
    private static let duration = Duration.seconds(2)

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        let lines = Self.makeEvents(count: Self.events)
        let bytes = lines.reduce(0) { $0 + $1.count }
        let scans = try Self.rounds { Self.scan(lines) }
        Measurement.print("json scan", Double(bytes) * scans / 1e9, "GB/s")
        let decodings = try Self.rounds { Self.decode(lines) }
        Measurement.print("event decode", Double(bytes) * decodings / 1e9, "GB/s")
        Measurement.print("event decode", Double(lines.count) * decodings, "events/s")
        return Exit.success
    }

    /// Rounds of `body` in a second; it says whether it found what it should.
    private static func rounds(_ body: () -> Bool) throws(CommandFailure) -> Double {
        guard body() else { throw CommandFailure("bench-scan: the events are not what they should be") }
        let start = Deadline.now()
        var rounds = 0
        while true {
            guard body() else { throw CommandFailure("bench-scan: the events are not what they should be") }
            rounds += 1
            let elapsed = Deadline.now().duration(since: start)
            if elapsed >= duration { return Double(rounds) / (elapsed / .seconds(1)) }
        }
    }

    private static func scan(_ lines: [[UInt8]]) -> Bool {
        let scanner = JSONScanner()
        var valid = 0
        for line in lines where scanner.verdict(on: line.span) == .valid { valid += 1 }
        return valid == lines.count
    }

    private static func decode(_ lines: [[UInt8]]) -> Bool {
        let decoder = EventDecoder()
        var context = DecodeContext(receivedAt: WallClock.microseconds(), ids: UUIDv7Generator())
        var arena = EventArena()
        var decoded = 0
        for (index, line) in lines.enumerated() {
            decoder.decode(line.span, index: Int32(index), context: &context, into: &arena)
            // As many as a batch has, so that the arena is as warm as in the service.
            if arena.records.count == 1_000 || index == lines.count - 1 {
                decoded += arena.records.count
                arena.removeAll(keepingCapacity: true)
            }
        }
        return decoded == lines.count
    }

    /// Events of about 450 bytes, of the kind that `Benchmarks` sends.
    static func makeEvents(count: Int) -> [[UInt8]] {
        (0..<count).map { index in
            var json = JSONWriter()
            json.beginObject()
            json.member("id", "0199b2c4-7d1e-7a3b-9c55-\(100_000_000_000 + index)")
            json.member("source", "https://shop.example.com/checkout")
            json.member("type", "com.example.order.placed")
            json.member("subject", "customer-\(index % 5_000)")
            json.member("time", "2026-01-02T03:04:05.\(100_000 + index)Z")
            json.key("data")
            json.beginObject()
            json.member("order", "A-\(1_000_000 + index)")
            json.member("amount", Double(index % 10_000) + 0.25)
            json.member("currency", "EUR")
            json.member("items", index % 7 + 1)
            json.member("express", index.isMultiple(of: 2))
            json.member("agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
            json.member("note", "Leave it with the neighbours at number 12 if nobody opens")
            json.endObject()
            json.endObject()
            return json.finish()
        }
    }
}

/// A figure, as `Benchmarks/run` reads it: one JSON object a line.
enum Measurement {
    static func line(_ name: String, _ value: Double, _ unit: String) -> String {
        var json = JSONWriter()
        json.beginObject()
        json.member("name", name)
        json.member("value", value)
        json.member("unit", unit)
        json.endObject()
        return String(decoding: json.finish(), as: UTF8.self)
    }

    static func print(_ name: String, _ value: Double, _ unit: String) {
        Output.say(line(name, value, unit))
    }
}
