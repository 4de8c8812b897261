import Events
import HTTP
import Reactor
import TestSupport

@testable import Ingest

/// Events of a test, decoded as the route decodes them.
enum Decoded {
    /// One arena of the texts, an event a text, valid or not.
    static func events(
        _ texts: [String],
        receivedAt: Int64 = WallClock.microseconds(),
        seed: UInt64 = 1
    ) -> EventArena {
        var context = DecodeContext(receivedAt: receivedAt, ids: UUIDv7Generator(seed: seed))
        var arena = EventArena()
        let decoder = EventDecoder()
        for (index, text) in texts.enumerated() {
            decoder.decode(Array(text.utf8).span, index: Int32(index), context: &context, into: &arena)
        }
        return arena
    }

    /// Dated events: everything about them is the request's, so they are the same on every node.
    static func dated(_ numbers: some Sequence<Int>, prefix: String = "e") -> [String] {
        numbers.map { number in
            let time = String(
                decoding: Timestamp.format(1_790_000_000_000_000 + Int64(number) * 1_000),
                as: UTF8.self
            )
            return """
                {"id":"\(prefix)-\(number)","type":"t\(number % 3)","source":"/test","subject":"s\(number)",\
                "time":"\(time)","data":{"n":\(number)}}
                """
        }
    }

    /// Events with an id of the client's and no time: `event_keys` decides.
    static func undated(_ numbers: some Sequence<Int>, prefix: String = "u") -> [String] {
        numbers.map { #"{"id":"\#(prefix)-\#($0)","type":"t","source":"/test","data":{"n":\#($0)}}"# }
    }

    /// Events without an id: each is a new one.
    static func fresh(_ numbers: some Sequence<Int>) -> [String] {
        numbers.map { #"{"type":"t","source":"/test","data":{"n":\#($0)}}"# }
    }

    /// A submission of the texts, as the ingestor makes it for its only writer.
    static func submission(_ texts: [String], receivedAt: Int64 = 1_790_000_000_000_000) -> Submission {
        let arena = events(texts, receivedAt: receivedAt)
        let events = arena.records.indices.map {
            PreparedEvent($0, of: arena, receivedAt: receivedAt)
        }
        return Submission(
            arena: arena,
            events: events,
            rejections: arena.rejections,
            requestID: RequestID("r"),
            receivedAt: receivedAt,
            bytes: texts.reduce(0) { $0 + $1.utf8.count }
        )
    }
}
