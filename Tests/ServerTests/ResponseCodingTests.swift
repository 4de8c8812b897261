import HTTP
import Reactor
import TestSupport
import Testing

@testable import Server

@Suite struct `Answers' coding` {
    private func acceptsGzip(_ text: String) -> Bool { ContentCoding.acceptsGzip(Array(text.utf8).span) }

    @Test func `follows Accept-Encoding with its weights`() {
        let wanted = [
            "gzip", "GZIP", "x-gzip", "deflate, gzip", "gzip;q=1.0, identity;q=0.5", "*", "br;q=1, *;q=0.1",
            "gzip;q=0.001", " gzip ; q=0.5 ",
        ]
        for value in wanted { #expect(acceptsGzip(value), "\(value)") }
        let unwanted = [
            "", "identity", "br", "gzip;q=0", "gzip;q=0.000", "*;q=0", "gzip;q=0, *", "gzipped", "deflate",
        ]
        for value in unwanted { #expect(!acceptsGzip(value), "\(value)") }
    }

    private static let text = Array(String(repeating: #"{"type":"page_view","count":17},"#, count: 200).utf8)
    /// Bytes that no coding makes fewer.
    private static let noise = { () -> [UInt8] in
        var random = SplitMix(seed: 5)
        return (0..<4_000).map { _ in UInt8.random(in: 0...255, using: &random) }
    }()

    @Test func `is gzip for long text that is no secret, and inflates to it`() async throws {
        try await withServer(routes: { router in
            router.add(.get, "/text", for: .anyone) { _, _ in
                Response(fields: [("ETag", "\"a\"")], bytes: Self.text)
            }
            router.add(.get, "/short", for: .anyone) { _, _ in Response(bytes: [1, 2]) }
            router.add(.get, "/secret", for: .anyone) { _, _ in
                Response(fields: [("Cache-Control", "no-store")], bytes: Self.text)
            }
            router.add(.get, "/image", for: .anyone) { _, _ in
                Response(contentType: "image/png", bytes: Self.text)
            }
            router.add(.get, "/noise", for: .anyone) { _, _ in Response(bytes: Self.noise) }
        }) { server in
            func get(
                _ path: String,
                _ method: String = "GET",
                _ accept: String = "gzip"
            ) async throws -> Answer {
                let client = try await server.connect()
                defer { client.close() }
                try await client.send(
                    "\(method) \(path) HTTP/1.1\r\nHost: x\r\nAccept-Encoding: \(accept)\r\n\r\n"
                )
                return try await client.answer(isHead: method == "HEAD")
            }
            let coded = try await get("/text")
            #expect(coded["content-encoding"] == "gzip" && coded["vary"] == "Accept-Encoding")
            #expect(coded["etag"] == "W/\"a\"")
            #expect(coded.body.count < Self.text.count / 10)
            var inflater = Inflater(.gzip)
            var plain: [UInt8] = []
            var used = 0
            while used < coded.body.count || inflater.hasPendingOutput {
                used += try inflater.inflate(
                    coded.body.span.extracting(used..<coded.body.count),
                    into: &plain
                )
            }
            try inflater.finish()
            #expect(plain == Self.text)

            let head = try await get("/text", "HEAD")
            #expect(head["content-length"] == "\(coded.body.count)" && head["content-encoding"] == "gzip")
            let identity = try await get("/text", "GET", "identity")
            #expect(identity["content-encoding"] == nil && identity["vary"] == "Accept-Encoding")
            #expect(identity["etag"] == "\"a\"" && identity.body == Self.text)
            for path in ["/short", "/secret", "/image", "/noise"] {
                #expect(try await get(path)["content-encoding"] == nil, "\(path)")
            }
        }
    }

    /// The plain bytes of `coded`, which may be cut anywhere.
    private func inflate(_ coded: [UInt8], with inflater: inout Inflater) throws -> [UInt8] {
        var plain: [UInt8] = []
        var used = 0
        while used < coded.count || inflater.hasPendingOutput {
            used += try inflater.inflate(coded.span.extracting(used..<coded.count), into: &plain)
        }
        return plain
    }

    private static func lines(_ gate: Event) -> Response {
        Response(
            contentType: "application/x-ndjson",
            fields: [("Cache-Control", "no-store"), ("Vary", "Accept")],
            stream: { writer throws(StreamError) in
                try await writer.write(text)
                await gate.happened()
                for _ in 0..<3 { try await writer.write(text + noise) }
            }
        )
    }

    private static let exchange = "GET /lines HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"

    @Test func `is gzip for streams too, whose pieces can be read when they are written`() async throws {
        let gate = Event()
        try await withServer(routes: { router in
            router.add(.get, "/lines", for: .anyone) { _, _ in Self.lines(gate) }
        }) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send(Self.exchange)
            let head = try await client.receive(through: "\r\n\r\n")
            #expect(head.contains("\r\nContent-Encoding: gzip\r\n"))
            #expect(head.contains("\r\nVary: Accept-Encoding\r\n"))
            var inflater = Inflater(.gzip)
            let first = try await client.chunk()
            #expect(first.count < Self.text.count / 10)
            #expect(try inflate(first, with: &inflater) == Self.text)
            gate.happen()
            var rest: [UInt8] = []
            while true {
                let chunk = try await client.chunk()
                if chunk.isEmpty { break }
                rest += try inflate(chunk, with: &inflater)
            }
            try inflater.finish()
            #expect(rest == (0..<3).flatMap { _ in Self.text + Self.noise })

            // The connection goes on.
            try await client.send("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await client.answer().status == 200)
        }
    }

    @Test func `of streams is left out where nobody asks for it, and where there is no memory for it`()
        async throws
    {
        let gate = Event()
        gate.happen()
        let load = ServerLoad()
        try await withServer(
            {
                $0.load = load
                $0.limits.bufferedBytesMax = 200_000
            },
            routes: { $0.add(.get, "/lines", for: .anyone) { _, _ in Self.lines(gate) } }
        ) { server in
            for request in [Self.exchange, "GET /lines HTTP/1.1\r\nHost: x\r\n\r\n"] {
                let client = try await server.connect()
                defer { client.close() }
                try await client.send(request)
                let answer = try await client.answer()
                #expect(answer["content-encoding"] == nil && answer.body.starts(with: Self.text))
            }
        }
        #expect(load.bufferedBytes == 0)
    }

    @Test func `gives its memory back when a stream breaks`() async throws {
        let load = ServerLoad()
        try await withServer(
            { $0.load = load },
            routes: { router in
                router.add(.get, "/broken", for: .anyone) { _, _ in
                    Response(contentType: "text/csv") { writer throws(StreamError) in
                        try await writer.write(Self.text)
                        throw .closed
                    }
                }
            }
        ) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send("GET /broken HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
            #expect(try await client.untilEnd().contains("Content-Encoding: gzip"))
        }
        #expect(load.bufferedBytes == 0)
    }

    @Test func `takes bytes that were compressed beforehand as they are`() async throws {
        let coded = try #require(Gzip.compress(Self.text, level: Gzip.smallest))
        try await withServer(routes: { router in
            router.add(.get, "/file", for: .anyone) { _, _ in
                var response = Response(fields: [("ETag", "\"a\"")], bytes: Self.text)
                response.gzipped = coded
                return response
            }
        }) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send("GET /file HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
            let answer = try await client.answer()
            #expect(answer.body == coded && answer["etag"] == "W/\"a\"")
            try await client.send("GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await client.answer().body == Self.text)
        }
    }
}
