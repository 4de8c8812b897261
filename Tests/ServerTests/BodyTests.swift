import HTTP
import Reactor
import Server
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct Bodies {
    private static func head(_ path: String, _ fields: String...) -> String {
        "POST \(path) HTTP/1.1\r\nHost: x\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
    }

    private static func chunked(_ bytes: [UInt8], by size: Int) -> [UInt8] {
        var output: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            ResponseChunk.append(Array(bytes[start..<min(start + size, bytes.count)]), to: &output)
        }
        ResponseChunk.appendEnd(to: &output)
        return output
    }

    private static let closing = "GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    @Test func `larger than every buffer are streamed`() async throws {
        let body = [UInt8](repeating: 0x61, count: 3_000_000)
        try await withServer { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send(Array(Self.head("/count", "Content-Length: \(body.count)").utf8) + body)
            #expect(try await client.answer().text == "\(body.count)")
            try await client.send(
                Array(Self.head("/count", "Transfer-Encoding: chunked").utf8) + Self.chunked(body, by: 70_001)
            )
            #expect(try await client.answer().text == "\(body.count)")
        }
    }

    @Test func `are read as they come`() async throws {
        let seen = Event()
        try await withServer(routes: { router in
            router.add(.post, "/peek", for: .anyone) { request, body in
                var buffer: [UInt8] = []
                _ = try? await body.next(into: &buffer)
                if buffer == Array("first".utf8) { seen.happen() }
                return Response(bytes: (try? await body.collect(atMost: 100)) ?? [])
            }
        }) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send(Self.head("/peek", "Content-Length: 11") + "first")
            await seen.happened()
            try await client.send("second")
            #expect(try await client.answer().text == "second")
        }
    }

    /// Steps with the handler's own deadline, as streamed ingestion takes them.
    @Test func `that pause let the handler do something else`() async throws {
        let paused = Event()
        try await withServer(routes: { router in
            router.add(.post, "/steps", for: .anyone) { request, body in
                var buffer: [UInt8] = []
                var steps = ""
                do throws(BodyError) {
                    while true {
                        switch try await body.next(into: &buffer, until: .after(.milliseconds(1))) {
                        case .bytes: steps += "b"
                        case .end: return Response(bytes: buffer)
                        case .nothing:
                            paused.happen()
                            if steps.last != "n" { steps += "n" }
                        }
                    }
                } catch {
                    return request.problem(error)
                }
            }
        }) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send(Self.head("/steps", "Content-Length: 6") + "abc")
            await paused.happened()
            try await client.send("def")
            #expect(try await client.answer().text == "abcdef")
        }
    }

    @Test func `that are expected are asked for once, when the handler reads`() async throws {
        let (began, asked) = (Event(), Event())
        try await withServer(routes: { router in
            router.add(.post, "/later", for: .anyone) { request, body in
                began.happen()
                await asked.happened()
                return Response(bytes: (try? await body.collect(atMost: 100)) ?? [])
            }
        }) { server in
            let client = try await server.connect()
            defer { client.close() }
            let head = Self.head("/later", "Expect: 100-continue", "Content-Length: 4")
            try await client.send(head)
            await began.happened()
            #expect(try client.hasNothing())
            asked.happen()
            let interim = try await client.answer()
            #expect(interim.head == "HTTP/1.1 100 Continue\r\n\r\n")
            try await client.send("body")
            #expect(try await client.answer().text == "body")

            // Already on its way: nothing to ask for.
            try await client.send(head + "body")
            #expect(try await client.answer().text == "body")
        }
    }

    @Test(arguments: ["/unread", "/fail", "/nowhere", "/ok"])
    func `that are expected and not wanted are not asked for`(path: String) async throws {
        try await withServer { server in
            let answers = try await server.exchange(
                Self.head(path, "Expect: 100-continue", "Content-Length: 100000")
            )
            #expect(answers.count == 1)
            #expect((answers.first?.status ?? 0) >= 200)
            #expect(answers.first?.closes == true)
        }
    }

    @Test func `known to be too large are refused before they are read`() async throws {
        try await withServer { server in
            let answers = try await server.exchange(
                Self.head("/echo", "Expect: 100-continue", "Content-Length: 100001")
            )
            #expect(answers.map(\.status) == [413])
            #expect(answers.first?.member("code") == "body_too_large")
            #expect(answers.first?.closes == true)
        }
    }

    @Test func `that turn out to be too large are refused`() async throws {
        let body = [UInt8](repeating: 0x61, count: 100_001)
        try await withServer { server in
            let answers = try await server.exchange(
                Self.head("/echo", "Transfer-Encoding: chunked"),
                body: Self.chunked(body, by: 4_000)
            )
            #expect(answers.map(\.status) == [413])

            let client = try await server.connect()
            defer { client.close() }
            try await client.send(
                Array(Self.head("/echo", "Transfer-Encoding: chunked").utf8)
                    + Self.chunked(Array(body.dropLast()), by: 4_000)
            )
            #expect(try await client.answer().body.count == 100_000)
        }
    }

    @Test func `that nobody reads are passed over when they have come already`() async throws {
        try await withServer { server in
            let answers = try await server.exchange(
                Self.head("/unread", "Content-Length: 5") + "hello"
                    + Self.head("/nowhere", "Transfer-Encoding: chunked") + "2\r\nab\r\n0\r\n\r\n"
                    + Self.closing
            )
            #expect(answers.map(\.status) == [200, 404, 200])
        }
    }

    /// The client writes all of its body before it looks for an answer, as simple clients do.
    @Test func `that nobody reads end the connection, and the answer arrives all the same`() async throws {
        let body = [UInt8](repeating: 0x61, count: 8 << 20)
        try await withServer { server in
            let answers = try await server.exchange(
                Self.head("/unread", "Content-Length: \(body.count)"),
                body: body
            )
            #expect(answers.map(\.text) == ["unread"])
            #expect(answers.first?.closes == true)
        }
    }

    @Test func `that break the chunked coding are refused`() async throws {
        try await withServer { server in
            let answers = try await server.exchange(
                Self.head("/count", "Transfer-Encoding: chunked") + "5\r\nhelloXX" + Self.closing
            )
            #expect(answers.map(\.status) == [400])
            #expect(answers.first?.member("code") == "malformed_chunk")
        }
    }

    @Test func `that end early are told so`() async throws {
        try await withServer { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send(Self.head("/count", "Content-Length: 10") + "hello")
            client.stream.shutdownWrites()
            let answers = try await client.answersToEnd()
            #expect(answers.map(\.status) == [400])
            #expect(answers.first?.member("code") == "incomplete_body")
        }
    }

    // MARK: Codings

    private static let text = Array(String(repeating: #"{"type":"t","n":1}"# + "\n", count: 200).utf8)

    @Test func `are inflated by their coding`() async throws {
        try await withServer { server in
            let client = try await server.connect()
            defer { client.close() }
            for (fields, packed) in [
                ("Content-Encoding: gzip", Deflater.compress(Self.text, .gzip)),
                ("Content-Encoding: X-GZip", Deflater.compress(Self.text, .gzip)),
                ("Content-Encoding: deflate", Deflater.compress(Self.text, .zlib)),
                ("Content-Encoding: deflate", Deflater.compress(Self.text, .raw)),
                ("Content-Encoding: identity", Self.text),
                ("Content-Encoding: identity, gzip", Deflater.compress(Self.text, .gzip)),
                ("Content-Encoding: gzip\r\nContent-Encoding: identity", Deflater.compress(Self.text, .gzip)),
                ("Content-Encoding:", Self.text),
            ] {
                for (framing, body) in [
                    ("Content-Length: \(packed.count)", packed),
                    ("Transfer-Encoding: chunked", Self.chunked(packed, by: 3)),
                ] {
                    try await client.send(Array(Self.head("/echo", fields, framing).utf8) + body)
                    let answer = try await client.answer()
                    #expect(answer.status == 200, "\(fields)")
                    #expect(answer.body == Self.text, "\(fields)")
                }
            }
        }
    }

    @Test func `are inflated wherever they are cut`() async throws {
        let packed = Deflater.compress(Self.text, .gzip) + Deflater.compress(Self.text, .gzip)
        let head = Self.head("/echo", "Content-Encoding: gzip", "Content-Length: \(packed.count)")
        try await withServer { server in
            let client = try await server.connect()
            defer { client.close() }
            for cut in packed.indices {
                try await client.send(Array(head.utf8) + packed[..<cut])
                await Task.yield()
                try await client.send(Array(packed[cut...]))
                #expect(try await client.answer().body == Self.text + Self.text, "cut at \(cut)")
            }
        }
    }

    @Test(arguments: ["br", "gzip, gzip", "gzip, br", "zstd, identity", "gzip;q=1"])
    func `in other codings are refused`(coding: String) async throws {
        try await withServer { server in
            let answers = try await server.exchange(
                Self.head("/echo", "Content-Encoding: \(coding)", "Content-Length: 3") + "abc" + Self.closing
            )
            #expect(answers.map(\.status) == [415, 200])
            #expect(answers.first?["accept-encoding"] == "gzip, deflate")
        }
    }

    /// The framing is whole, so that the connection goes on.
    @Test func `that are damaged or end early are refused`() async throws {
        let packed = Deflater.compress(Self.text, .gzip)
        let damaged = packed.dropLast(6) + [packed[packed.count - 6] ^ 1] + packed.suffix(5)
        try await withServer { server in
            for (body, code) in [
                (Array(damaged), "corrupt_body"), (Array("plain".utf8), "corrupt_body"),
                (Array(packed.dropLast()), "truncated_body"),
                ([], "truncated_body"),
            ] {
                for path in ["/echo", "/count"] {
                    let head = Self.head(path, "Content-Encoding: gzip", "Content-Length: \(body.count)")
                    let answers = try await server.exchange(
                        "",
                        body: Array(head.utf8) + body + Array(Self.closing.utf8)
                    )
                    #expect(answers.map(\.status) == [400, 200])
                    #expect(answers.first?.member("code") == code)
                }
            }
        }
    }

    @Test func `that grow too large or too fast are refused`() async throws {
        let bomb = Deflater.compress([UInt8](repeating: 0x20, count: 16 << 20), .gzip, level: 9)
        let fields = ["Content-Encoding: gzip", "Content-Length: \(bomb.count)"]
        try await withServer { server in
            let collected = try await server.exchange(Self.head("/echo", fields[0], fields[1]), body: bomb)
            #expect(collected.map(\.status) == [413])
            #expect(collected.first?.member("code") == "body_too_large")
            let streamed = try await server.exchange(Self.head("/count", fields[0], fields[1]), body: bomb)
            #expect(streamed.map(\.status) == [413])
            #expect(streamed.first?.member("code") == "compression_ratio_too_high")
        }
    }
}
