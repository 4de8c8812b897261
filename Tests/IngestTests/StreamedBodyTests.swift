import Events
import Foundation
import Postgres
import Reactor
import TestSupport
import Testing

@testable import Ingest

@Suite(.timeLimit(.minutes(3))) struct `Streamed body` {
    private static let ndjson = "application/x-ndjson"

    @Test func `stores its lines, blank and broken ones among them`() async throws {
        try await Service.with { service, _ in
            let lines = [
                Decoded.dated([1])[0], "", "{broken", Decoded.dated([1])[0], "  ", Decoded.fresh([1])[0],
                "{\"type\":7}", Decoded.dated([2])[0],
            ]
            for (round, ending) in ["\n", "\r\n"].enumerated() {
                let answer = try await service.post(
                    lines.joined(separator: ending),
                    type: Self.ndjson,
                    query: "?verdicts=all"
                )
                #expect(answer.status == 200)
                #expect(try answer.counts() == (round == 0 ? [6, 3, 1, 2] : [6, 1, 3, 2]))
                #expect(try answer.errorCodes() == ["malformed_json", "invalid_type"])
                let errors = try #require(try answer.json()["errors"] as? [[String: Any]])
                #expect(errors.map { $0["index"] as? Int } == [1, 4])
                #expect((try answer.json()["ids"] as? [String])?.count == 1)
                #expect((try answer.json()["verdicts"] as? [Any])?.count == 6)
            }
            let raw = try await service.installation.sql(
                "SELECT convert_from(raw, 'UTF8') FROM rejects ORDER BY n LIMIT 2"
            )
            #expect(raw.map(\.[0]) == ["{broken", "{\"type\":7}"])
        }
    }

    @Test func `is nothing when it is empty or blank`() async throws {
        try await Service.with { service, _ in
            for body in ["", "\n", "\r\n \n\n"] {
                let answer = try await service.post(body, type: Self.ndjson)
                #expect(answer.status == 200)
                #expect(try answer.counts() == [0, 0, 0, 0])
            }
            #expect(try await service.post("{}\n[]\n", type: Self.ndjson).status == 422)
        }
    }

    @Test func `may be records of a JSON text sequence`() async throws {
        try await Service.with { service, _ in
            let body = Decoded.dated(0..<3).map { "\u{1E}\($0)\n" }.joined()
            let answer = try await service.post(body, type: "application/json-seq")
            #expect(try answer.counts() == [3, 3, 0, 0])
        }
    }

    /// Whatever the cuts of the network, and with either framing.
    @Test func `may come byte by byte`() async throws {
        try await Service.with { service, loop in
            let body = Array(
                (Decoded.dated(0..<5) + ["{broken"] + Decoded.undated(0..<2)).joined(separator: "\r\n").utf8
            )
            for (round, isChunked) in [false, true].enumerated() {
                let client = try await Client.connect(to: service.address, on: loop)
                defer { client.close() }
                try await client.write(Client.head(type: Self.ndjson, length: isChunked ? nil : body.count))
                for byte in body {
                    if isChunked {
                        try await client.writeChunk([byte])
                    } else {
                        try await client.write([byte])
                    }
                }
                if isChunked { try await client.writeChunk([]) }
                let answer = try await client.answer()
                #expect(answer.status == 200)
                #expect(try answer.counts() == (round == 0 ? [8, 7, 0, 1] : [8, 0, 7, 1]))
            }
        }
    }

    @Test func `is committed as it is read, while its client holds it open`() async throws {
        try await Service.with { service, loop in
            let count = 50_000
            let client = try await Client.connect(to: service.address, on: loop)
            defer { client.close() }
            try await client.write(Client.head(type: Self.ndjson, length: nil))
            for start in stride(from: 0, to: count, by: 1_000) {
                let end = min(start + 1_000, count - 1)
                try await client.writeChunk(Array(Decoded.dated(start..<end).map { $0 + "\n" }.joined().utf8))
            }

            // All but the last line, which has not been sent.
            try await service.installation.wait(until: "count(*) = \(count - 1) FROM events")
            try await client.writeChunk(Array(Decoded.dated([count - 1])[0].utf8))
            try await client.writeChunk([])

            let answer = try await client.answer()
            #expect(answer.status == 200)
            #expect(try answer.counts() == [count, count, 0, 0])
            let totals = try await service.installation.totals()
            #expect(totals.stored == count)
            let bytes = Decoded.dated(0..<count).reduce(count - 1) { $0 + $1.utf8.count }
            #expect(totals.bytes == bytes)
        }
    }

    @Test func `hands its trace to the job that covers it, as any body does`() async throws {
        let traces = [1, 2].map { "00-\(String(repeating: "\($0)", count: 32))-00f067aa0ba902b7-01" }
        var limits = BatchLimits()
        limits.cutEventsMax = 1
        try await Service.with(limits: limits) { service, _ in
            _ = try await service.post(
                Decoded.dated([1])[0],
                type: Self.ndjson,
                fields: "traceparent: \(traces[0])\r\n"
            )
            _ = try await service.post(Decoded.dated([2])[0], fields: "traceparent: \(traces[1])\r\n")
            _ = try await service.post(Decoded.dated([3])[0], fields: "traceparent: 00-no-trace-01\r\n")

            let stored = try await service.installation.sql("SELECT traceparent FROM jobs ORDER BY id")
            #expect(stored == [[traces[0]], [traces[1]], [nil]])
        }
    }

    @Test func `waits in the socket while PostgreSQL does not take it`() async throws {
        try await Service.with { service, loop in
            _ = try await service.post(Decoded.dated([0])[0])
            // 48 MB of lines, in one chunk so that the client's side is one array.
            let padding = String(repeating: "x", count: 2_000)
            let line = Array("{\"type\":\"t\",\"data\":\"\(padding)\"}\n".utf8)
            var body = Array("3000000\r\n".utf8)
            while body.count < 48 << 20 { body += line }

            let client = try await Client.connect(to: service.address, on: loop)
            let taken = try await service.installation.holdingStreams {
                try await client.write(Client.head(type: Self.ndjson, length: nil))
                return try await client.writeUntilStalled(body, patience: .seconds(2))
            }

            // Three chunks of a megabyte, and what the kernel buffers on both sides.
            #expect(taken < 24 << 20)
            client.close()
            // What was whole chunks is stored; nobody hears of it.
            try await service.installation.wait(until: "count(*) > 1000 FROM events")
        }
    }

    @Test func `keeps what was stored when it breaks off`() async throws {
        try await Service.with { service, loop in
            let client = try await Client.connect(to: service.address, on: loop)
            defer { client.close() }
            try await client.write(Client.head(type: Self.ndjson, length: nil))
            try await client.writeChunk(Array(Decoded.dated(0..<5_001).map { $0 + "\n" }.joined().utf8))
            try await service.installation.wait(until: "count(*) >= 5000 FROM events")
            try await client.write(Array("zz\r\n".utf8))

            let answer = try await client.answer()
            #expect(answer.status == 400)
            #expect(answer.fields["connection"] == "close")
            #expect(answer.fields["x-events-stored"].flatMap { Int($0) } ?? 0 >= 5_000)
        }
    }

    @Test func `rejects a line that is too long and goes on`() async throws {
        try await Service.with { service, _ in
            let long = #"{"type":"t","id":"long","data":""# + String(repeating: "x", count: 300_000) + #""}"#
            let lines = Decoded.dated([1]) + [long] + Decoded.dated([2])
            let answer = try await service.post(lines.joined(separator: "\n"), type: Self.ndjson)
            #expect(try answer.counts() == [3, 2, 0, 1])
            #expect(try answer.errorCodes() == ["event_too_large"])
        }
    }

    @Test func `dates an event by its own arrival, not by the chunk before`() async throws {
        try await Service.with { service, loop in
            let client = try await Client.connect(to: service.address, on: loop)
            defer { client.close() }
            try await client.write(Client.head(type: Self.ndjson, length: nil))
            try await client.writeChunk(Array((Decoded.fresh([0])[0] + "\n").utf8))
            try await service.installation.wait(until: "count(*) = 1 FROM events")
            let between = try await service.installation.number(
                "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
            )
            try await client.writeChunk(Array((Decoded.fresh([1])[0] + "\n").utf8))
            try await client.writeChunk([])
            #expect(try await client.answer().status == 200)

            let received = try await service.installation.number(
                "SELECT (extract(epoch FROM max(received_at)) * 1000000)::bigint FROM events"
            )
            #expect(received >= between)
        }
    }
}
