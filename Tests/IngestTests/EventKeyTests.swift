import Events
import Testing

@testable import Ingest

@Suite struct `Event key` {
    /// Made with Python's hashlib and uuid.
    @Test(arguments: [
        ("/", "a", "b85cbdfd-493e-8c99-9bae-3fc01f4acfc0"),
        ("https://example.com/s", "evt-17", "5ca08e15-0574-8301-902b-72e4c456f0f3"),
        ("/käse", "水🚰", "83165712-8645-8205-9ea1-a9aafb873fa0"),
        (
            String(repeating: "/s", count: 512), String(repeating: "x", count: 128),
            "54a804a9-5624-8bf4-8904-bb53b57461b7"
        ),
    ])
    func `is the SHA-256 of source and id, as a UUID of version 8`(source: String, id: String, key: String) {
        #expect(EventKey.text(source: source, id: id) == key)
    }

    @Test func `tells where the source ends and the id begins`() {
        #expect(EventKey.text(source: "/ab", id: "c") != EventKey.text(source: "/a", id: "bc"))
    }

    @Test func `has a bucket of 0 to 63, all of them in use`() {
        var counts = [Int](repeating: 0, count: 64)
        for number in 0..<6_400 {
            let key = EventKey.of(source: Array("/s".utf8).span, id: Array("\(number)".utf8).span)
            counts[Int(EventKey.bucket(of: key))] += 1
        }
        #expect(counts.allSatisfy { 50...170 ~= $0 }, "\(counts)")
    }
}

@Suite struct `Prepared event` {
    private static let now: Int64 = 1_790_000_000_000_000

    private static func prepare(_ text: String) throws -> PreparedEvent {
        let arena = Decoded.events([text], receivedAt: now)
        try #require(arena.rejections.isEmpty, "\(arena.rejections)")
        return PreparedEvent(0, of: arena, receivedAt: now)
    }

    /// A UUIDv7 of that moment as text.
    private static func id(at microseconds: Int64) -> String {
        var ids = UUIDv7Generator(seed: 3)
        return String(decoding: formatUUID(ids.next(microseconds: microseconds)), as: UTF8.self)
    }

    @Test func `with a time is identified by key and time`() throws {
        let event = try Self.prepare(
            #"{"id":"a","type":"t","source":"/","time":"2026-01-02T03:04:05.678901Z"}"#
        )

        #expect(event.ts == 1_767_323_045_678_901)
        #expect(!event.isUndated && !event.isFresh)
        #expect(event.identity == Identity(key: event.key, ts: event.ts))
        #expect(
            String(decoding: formatUUID(event.key), as: UTF8.self) == "b85cbdfd-493e-8c99-9bae-3fc01f4acfc0"
        )
    }

    @Test func `with a UUIDv7 as its id has the time inside it`() throws {
        let event = try Self.prepare(#"{"id":"\#(Self.id(at: Self.now - 5_000_000))","type":"t"}"#)

        #expect(event.ts == Self.now - 5_000_000)
        #expect(!event.isUndated && !event.isFresh)
    }

    @Test func `with a UUIDv7 prefers the time that it carries`() throws {
        let text = #"{"id":"\#(Self.id(at: Self.now))","type":"t","time":"2026-01-02T03:04:05.678901Z"}"#
        #expect(try Self.prepare(text).ts == 1_767_323_045_678_901)
    }

    @Test func `with an id and no time is undated and identified by its key alone`() throws {
        let event = try Self.prepare(#"{"id":"a","type":"t","source":"/"}"#)

        #expect(event.isUndated && !event.isFresh)
        #expect(event.ts == Self.now)
        #expect(event.identity == Identity(key: event.key, ts: .min))
    }

    @Test func `without an id is fresh, under the id that was made for it`() throws {
        let arena = Decoded.events([#"{"type":"t"}"#], receivedAt: Self.now)
        let event = PreparedEvent(0, of: arena, receivedAt: Self.now)

        #expect(event.isFresh && !event.isUndated)
        #expect(event.key == arena.records[0].uuid && event.ts == Self.now)
        #expect(Array(arena.bytes[arena.records[0].id.range]) == formatUUID(event.key))
    }

    @Test func `without an id and with a time has that time`() throws {
        let event = try Self.prepare(#"{"type":"t","time":"2026-01-02T03:04:05.678901Z"}"#)

        #expect(event.isFresh && !event.isUndated && event.ts == 1_767_323_045_678_901)
    }
}
