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
}
