import Events
import Postgres
import Reactor
import Server
import TestSupport
import Testing

@testable import Insight

@Suite(.timeLimit(.minutes(2))) struct `Listing events` {
    private struct Page {
        let ids: [String]
        let cursor: String?

        init(_ json: String) {
            ids = json.matches(of: /"id":"([^"]*)"/).map { String($0.1) }
            cursor = json.firstMatch(of: /"next_cursor":"([^"]*)"/).map { String($0.1) }
        }
    }

    @Test(arguments: ["asc", "desc"])
    func `by cursor neither skips nor repeats while others are stored`(order: String) async throws {
        var limits = InsightLimits()
        limits.pageRowsFirst = 3
        limits.pageBytesAimed = 2_000
        try await ReadSide.with(limits) { side in
            // Many at the same moment: then the key decides.
            try await side.run(
                """
                INSERT INTO events SELECT gen_random_uuid(), $1::timestamptz + (n % 40) * interval '1 s',
                  now(), 't', '/s', null, 'old-' || n, null, null, null, n, 0 FROM generate_series(1, 400) n
                """,
                [EventFilter.text(morning)]
            )
            let wanted = try await side.run("SELECT id FROM events ORDER BY ts \(order), key \(order)")

            var ids: [String] = []
            var cursor = ""
            var pages = 0
            while true {
                let page = Page(text(try await side.events("order=\(order)&limit=17&cursor=\(cursor)")))
                ids += page.ids
                pages += 1
                for number in 0..<3 {
                    try await side.store(
                        id: "new-\(pages)-\(number)",
                        at: morning + Int64((pages * 3 + number) % 40) * 1_000_000
                    )
                }
                guard let next = page.cursor else { break }
                #expect(page.ids.count == 17)
                cursor = next
            }

            #expect(ids.filter { $0.hasPrefix("old-") } == wanted.rows.map { $0[0] })
            #expect(Set(ids).count == ids.count)
            #expect(ids.contains { $0.hasPrefix("new-") })
        }
    }

    @Test func `has no next cursor on the last page, also when it is full`() async throws {
        try await ReadSide.with { side in
            for number in 0..<4 { try await side.store(id: "\(number)", at: morning + Int64(number)) }

            #expect(Page(text(try await side.events("limit=4"))).cursor == nil)
            #expect(Page(text(try await side.events("limit=3"))).ids == ["3", "2", "1"])
            #expect(Page(text(try await side.events("limit=3"))).cursor != nil)
            #expect(text(try await side.events("type=none")) == #"{"events":[],"next_cursor":null}"#)
        }
    }

    @Test func `ends a page early where its events are large`() async throws {
        var limits = InsightLimits()
        limits.listBytesMax = 1_000
        limits.pageRowsFirst = 1
        try await ReadSide.with(limits) { side in
            let data = "\"" + String(repeating: "x", count: 600) + "\""
            for number in 0..<20 { try await side.store(id: "\(number)", at: morning, data: data) }

            let first = Page(text(try await side.events("limit=20")))
            #expect(1..<20 ~= first.ids.count)
            #expect(first.cursor != nil)
        }
    }

    @Test func `filters by what is asked for`() async throws {
        try await ReadSide.with { side in
            let own: UInt128 = 0x0199_0000_0000_7000_8000_0000_0000_0001
            try await side.store(id: "a", at: morning, type: "x", source: "/1", subject: "u")
            try await side.store(id: "b", at: morning + 1, type: "x", source: "/2")
            try await side.store(id: "c", at: morning + 2, type: "y", source: "/1", subject: "u")
            try await side.store(id: nil, key: own, at: morning + 3, type: "z")
            let (from, to) = (EventFilter.text(morning + 1), EventFilter.text(morning + 2))

            let made = String(decoding: formatUUID(own), as: UTF8.self)
            let cases: [(String, [String])] = [
                ("type=x", ["b", "a"]), ("type=x&order=asc", ["a", "b"]), ("source=/1", ["c", "a"]),
                ("subject=u&type=y", ["c"]), ("from=\(from)&to=\(to)", ["b"]), ("id=c", ["c"]),
                ("id=\(made)", [made]),
                ("id=\(made.uppercased())", [made]), ("type=x'%20OR%20true--", []),
            ]
            for (query, ids) in cases {
                #expect(Page(text(try await side.events(query))).ids == ids, "\(query)")
            }
        }
    }

    @Test func `writes an event flat, its attributes among its own members`() async throws {
        try await ReadSide.with { side in
            try await side.store(
                id: "a\"b",
                at: morning,
                subject: nil,
                attributes: #"{"specversion": "1.0", "n": 5, "id": "not this", "received_at": 1}"#,
                data: #"{"a": [1, null]}"#
            )
            try await side.store(
                id: "bin",
                at: morning - 1,
                attributes: "{}",
                bytes: String(repeating: "ff", count: 60)
            )
            try await side.store(id: "bare", at: morning - 2)

            let json = text(try await side.events(""))

            let moment = EventFilter.text(morning)
            #expect(
                json.hasPrefix(
                    #"{"events":[{"id":"a\"b","source":"/s","type":"t","subject":null,"#
                        + #""time":"\#(moment)","n": 5, "#
                        + #""specversion": "1.0","data":{"a": [1, null]},"#
                        + #""received_at":"2026-11-20T00:00:00.500000Z"},"#
                )
            )
            #expect(json.contains("\"data_base64\":\"\(String(repeating: "/", count: 80))\",\"received_at\""))
            #expect(
                json.contains(
                    #""data":null,"received_at":"2026-11-20T00:00:00.500000Z"}],"next_cursor":null}"#
                )
            )
        }
    }

    @Test func `answers 503 while the database is away`() async throws {
        try await ReadSide.with { side in
            await side.routes.reader.close()
            let error = await #expect(throws: ReadError.self) { try await side.events("") }
            let response = error?.response(requestID: "r")
            #expect(response?.status == 503)
            #expect(response.map(text)?.contains(#""code":"database_unavailable""#) == true)
            #expect(response?.fields.contains { $0.0 == "Retry-After" } == true)
        }
    }
}

@Suite(.timeLimit(.minutes(2))) struct `Exports` {
    private func whole(
        _ side: ReadSide,
        _ filter: EventFilter,
        _ format: EventExport.Format
    ) async throws -> (text: String, pieces: Int) {
        var export = EventExport(filter, as: format, reader: side.routes.reader, limits: side.routes.limits)
        var bytes: [UInt8] = []
        var pieces = 0
        while let piece = try await export.next() {
            bytes += piece
            pieces += 1
        }
        return (String(decoding: bytes, as: UTF8.self), pieces)
    }

    @Test func `hold every event once, in pages`() async throws {
        var limits = InsightLimits()
        limits.pageRowsFirst = 2
        limits.pageRowsMax = 50
        try await ReadSide.with(limits) { side in
            try await side.run(
                """
                INSERT INTO events SELECT gen_random_uuid(), $1::timestamptz + (n % 5) * interval '1 s',
                  now(), 't', '/s', null, 'e-' || n, null, to_jsonb(n), null, n, 0
                  FROM generate_series(1, 333) n
                """,
                [EventFilter.text(morning)]
            )
            let wanted = try await side.run("SELECT id FROM events ORDER BY ts, key").rows.map { $0[0] }

            let lines = try await whole(side, EventFilter(order: .asc), .lines)
            let table = try await whole(side, EventFilter(order: .asc), .table)

            #expect(
                lines.text.split(separator: "\n").map {
                    $0.firstMatch(of: /"id":"([^"]*)"/).map { String($0.1) }
                } == wanted
            )
            #expect(lines.pieces > 5)
            let rows = table.text.split(separator: "\r\n").dropFirst()
            #expect(rows.map { $0.split(separator: ",").first.map(String.init) } == wanted)
        }
    }

    @Test func `quote what a table needs quoted`() async throws {
        try await ReadSide.with { side in
            try await side.store(
                id: "a,b",
                at: morning,
                type: "say \"hi\"",
                subject: "two\nlines",
                data: #"{"k": "v"}"#
            )
            try await side.store(id: "c", at: morning - 1, bytes: "00ff")

            let table = try await whole(side, EventFilter(order: .desc), .table)

            let (first, second) = (EventFilter.text(morning), EventFilter.text(morning - 1))
            let received = "2026-11-20T00:00:00.500000Z"
            #expect(
                table.text == "id,source,type,subject,time,received_at,data\r\n"
                    + "\"a,b\",/s,\"say \"\"hi\"\"\",\"two\nlines\",\(first),\(received),"
                    + "\"{\"\"k\"\": \"\"v\"\"}\"\r\n"
                    + "c,/s,t,,\(second),\(received),AP8=\r\n"
            )
        }
    }

    @Test func `are chosen by the Accept field`() async throws {
        try await ReadSide.with { side in
            for (accept, type) in [
                ("text/csv", "text/csv; charset=utf-8; header=present"),
                ("application/x-ndjson", "application/x-ndjson"), ("*/*", "application/json"),
                ("", "application/json"),
            ] {
                let response = try await side.events("", accept: accept)
                #expect(response.contentType == type)
            }
            let error = await #expect(throws: ReadError.self) {
                try await side.events("", accept: "image/png")
            }
            #expect(error?.response(requestID: "r").status == 406)
        }
    }
}

@Suite(.timeLimit(.minutes(2))) struct `Receipts` {
    @Test func `find a stored event by source and id, by the newest of its id, and by a made id`()
        async throws
    {
        try await ReadSide.with { side in
            let own: UInt128 = 0x0199_0000_0000_7000_8000_0000_0000_0001
            let made = String(decoding: formatUUID(own), as: UTF8.self)
            try await side.store(id: "x", at: morning, source: "/old", data: "1")
            try await side.store(id: "x", at: morning + 5, source: "/new", data: "2")
            try await side.store(id: nil, key: own, at: morning, source: "/made", data: "3")
            // The key of a client's id, which is no id of anything.
            let key = String(decoding: formatUUID(ReadSide.key("/old", "x")), as: UTF8.self)

            #expect(try await side.receipt("x", "source=/old").contains(#""data":1,"#))
            #expect(try await side.receipt("x").contains(#""data":2,"#))
            #expect(try await side.receipt(made).contains(#""data":3,"#))
            #expect(try await side.receipt(made, "source=/made").contains(#""id":"\#(made)""#))
            #expect(try await side.receipt("x").hasSuffix(#""verdict":"stored"}"#))
            for (id, query) in [("y", ""), ("x", "source=/none"), (made, "source=/none"), (key, "")] {
                let error = await #expect(throws: ReadError.self) { try await side.receipt(id, query) }
                #expect(error?.response(requestID: "r").status == 404, "\(id) \(query)")
            }
        }
    }

    @Test func `say why an event was rejected, with what came`() async throws {
        try await ReadSide.with { side in
            try await side.run(
                """
                INSERT INTO rejects (received_at, id, code, pointer, detail, raw, request_id) VALUES
                  (now(), 'r1', 'invalid_time', '/time', 'is "late"', convert_to('{"id":"r1"}', 'UTF8'), 'q'),
                  (now(), 'r2', 'malformed_json', '', 'd', '\\xff00', 'q')
                """
            )

            let first = try await side.receipt("r1")
            #expect(
                first.contains(
                    #""verdict":"rejected","error":{"code":"invalid_time","#
                        + #""pointer":"/time","detail":"is \"late\""}"#
                )
            )
            #expect(first.hasSuffix(#","raw":"{\"id\":\"r1\"}"}"#))
            #expect(try await side.receipt("r2").hasSuffix(#","raw_base64":"/wA="}"#))
        }
    }
    @Test func `say what waits in the spool, unless the database knows better`() async throws {
        let event = SpooledEventFacts(
            id: "x",
            source: "/s",
            type: "t",
            subject: nil,
            time: morning,
            receivedAt: morning + 1
        )
        let rejection = Rejection(index: 0, code: .invalidType, pointer: "/type", detail: "d", raw: [0x7B])
        try await ReadSide.with(spooled: { id, source in
            switch id {
            case "x" where source != "/other": .event(event)
            case "refused": .rejection(rejection, receivedAt: morning)
            case "perhaps": .unknown
            default: .absent
            }
        }) { side in
            let spooled = try await side.receipt("x")
            #expect(spooled.hasPrefix(#"{"id":"x","source":"/s","type":"t","subject":null,"time":"#))
            #expect(spooled.hasSuffix(#""verdict":"spooled"}"#))
            #expect(try await side.receipt("refused").contains(#""verdict":"rejected","error":{"code":"inv"#))
            for (id, status) in [("perhaps", 503), ("none", 404)] {
                let error = await #expect(throws: ReadError.self) { try await side.receipt(id) }
                let response = error?.response(requestID: "r")
                #expect(response?.status == status, "\(id)")
                #expect(response?.fields.contains { $0 == ("Retry-After", "1") } == (status == 503))
            }
            await #expect(throws: ReadError.self) { try await side.receipt("x", "source=/other") }

            try await side.run(
                """
                INSERT INTO rejects (received_at, id, code, pointer, detail, raw, request_id) VALUES
                  (now(), 'x', 'invalid_time', '/time', 'd', '\\x7b', 'q'),
                  (now(), 'perhaps', 'invalid_time', '/time', 'd', '\\x7b', 'q')
                """
            )
            #expect(try await side.receipt("x").contains(#""verdict":"spooled""#), "it was refused before")
            #expect(try await side.receipt("perhaps").contains(#""verdict":"rejected""#))
            try await side.store(id: "x", at: morning)
            try await side.store(id: "perhaps", at: morning)
            #expect(try await side.receipt("x").contains(#""verdict":"stored""#))
            #expect(try await side.receipt("perhaps").contains(#""verdict":"stored""#))
        }
    }
}
