import TestSupport

/// Events that a test makes up, with ids that nobody else has, of several types, sources and minutes.
///
/// Half have no time, so that their key alone decides whether they are new.
struct MadeEvents: Sendable {
    struct Event: Sendable {
        let id: String
        let type: String
        let line: [UInt8]
    }

    private(set) var events: [Event] = []

    init(_ count: Int, prefix: String, seed: UInt64) {
        var random = SplitMix(seed: seed)
        events.reserveCapacity(count)
        for number in 0..<count { events.append(Self.make("\(prefix)-\(number)", &random)) }
    }

    static func make(_ id: String, _ random: inout SplitMix) -> Event {
        let type = "made.\(Int.random(in: 0..<5, using: &random))"
        var text =
            #"{"id":"\#(id)","type":"\#(type)","source":"/made/\#(Int.random(in: 0..<3, using: &random))""#
        if Bool.random(using: &random) {
            let (minute, second) = (
                Int.random(in: 0..<5, using: &random), Int.random(in: 10..<60, using: &random)
            )
            text +=
                #","time":"2026-01-02T03:0\#(minute):\#(second)."#
                + #"\#(Int.random(in: 100..<1_000, using: &random))Z""#
        }
        text += #","subject":"s\#(Int.random(in: 0..<50, using: &random))""#
        text += #","data":{"n":\#(Int.random(in: 0..<1_000, using: &random)),"text":"\#(Self.filling)"}}"#
        return Event(id: id, type: type, line: Array(text.utf8) + [10])
    }

    private static let filling = String(repeating: "real events say more. ", count: 8)

    var lines: [UInt8] { events.flatMap(\.line) }
    var countsByType: [String: Int] { Dictionary(events.map { ($0.type, 1) }, uniquingKeysWith: +) }
}
