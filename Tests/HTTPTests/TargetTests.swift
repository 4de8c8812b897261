import HTTP
import Testing

@Suite struct `Query items` {
    private func items(_ query: String) throws(TargetError) -> [String] {
        try QueryItems(Array(query.utf8).span).items.map { "\($0.name)=\($0.value)" }
    }

    @Test func `are decoded in order`() throws {
        #expect(try items("") == [])
        #expect(try items("a=1&b=2&a=3") == ["a=1", "b=2", "a=3"])
        #expect(try items("a&b=&=c&&d=e=f&") == ["a=", "b=", "=c", "d=e=f"])
        #expect(try items("x+y=a+b%2Bc%26%3d") == ["x y=a b+c&="])
        #expect(try items("s=%C3%A9%f0%9f%98%80") == ["s=é😀"])
        #expect(try items("field=/a/b~1c?") == ["field=/a/b~1c?"])
    }

    @Test func `are found by name`() throws {
        let query = try QueryItems(Array("a=1&b=2&a=3".utf8).span)
        #expect(query["a"] == "1")
        #expect(query["c"] == nil)
        #expect(query.all("a") == ["1", "3"])
        #expect(QueryItems().items.isEmpty)
    }

    @Test func `are refused when they are not text`() {
        let cases: [(String, TargetError)] = [
            ("a=%", .malformedEscape(offset: 2)), ("a=%4", .malformedEscape(offset: 2)),
            ("a=%4g", .malformedEscape(offset: 2)), ("a=b%&c=41", .malformedEscape(offset: 3)),
            ("a=%00", .nulCharacter(offset: 2)), ("a=1&b=%ff", .invalidUTF8(offset: 6)),
            ("%ed%a0%80=1", .invalidUTF8(offset: 0)), ("a=%c3", .invalidUTF8(offset: 2)),
        ]
        for (query, error) in cases {
            #expect(throws: error, "\(query)") { try items(query) }
            #expect(error.status == 400)
        }
    }
}

@Suite struct `Path segments` {
    private func segments(_ path: String, allowingEncodedSlash: Bool = false) -> [String]? {
        percentDecodedPath(Array(path.utf8).span, allowingEncodedSlash: allowingEncodedSlash)
    }

    @Test func `are decoded one by one`() {
        #expect(segments("") == [])
        #expect(segments("/") == [])
        #expect(segments("/v1/events") == ["v1", "events"])
        #expect(segments("/v1/events/") == ["v1", "events", ""])
        #expect(segments("//v1") == ["", "v1"])
        #expect(segments("/v1/%65vents/a%20b+c") == ["v1", "events", "a b+c"])
        #expect(segments("/%C3%A9/...") == ["é", "..."])
    }

    @Test func `never reach a route when they are a trick`() {
        for path in [
            "v1", "*", "/.", "/..", "/a/../b", "/a/.", "/%2e", "/%2E%2e/b", "/.%2e", "/v1%2fevents",
            "/v1%2Fevents", "/a%00",
            "/a%", "/a%2", "/a%zz", "/%ff", "/../../etc/passwd", "/a\0b",
        ] {
            #expect(segments(path) == nil, "\(path)")
        }
    }

    @Test func `may hold a slash where the caller wants it`() {
        #expect(
            segments("/v1/subjects/user%2F7", allowingEncodedSlash: true) == ["v1", "subjects", "user/7"]
        )
        #expect(segments("/a/..%2Fb", allowingEncodedSlash: true) == ["a", "../b"])
        #expect(segments("/a/%2E%2E", allowingEncodedSlash: true) == nil)
    }
}

@Suite struct `Media types` {
    private func parse(_ text: String) -> MediaType? { MediaType(Array(text.utf8).span) }

    @Test func `have an essence and parameters`() throws {
        let type = try #require(parse(" Application/CloudEvents+JSON ; Charset=UTF-8;x=\"a;\\\"b\" ;; "))
        #expect(type.essence == "application/cloudevents+json")
        #expect(type.parameter("charset") == "UTF-8")
        #expect(type.parameter("x") == "a;\"b")
        #expect(type.parameters.count == 2)
        #expect(parse("a/b")?.parameters.isEmpty == true)
    }

    @Test func `are refused when malformed`() {
        for text in [
            "", "a", "a/", "/b", "a b/c", "a/b c", "a/b;c", "a/b;c=", "a/b;=d", "a/b;c=\"", "a/b;c=\"d\\\"",
            "a/b,c/d", "a/b/c",
        ] {
            #expect(parse(text) == nil, "\(text)")
        }
    }

    @Test func `can be compared without being copied`() {
        let value = Array(" Application/JSON; charset=utf-8".utf8)
        let essence = MediaType.essence(value.span)
        #expect(essence == 1..<17)
        let (isWhole, isPart) = (
            value.span.matches(1..<17, lowercased: "application/json"),
            value.span.matches(1..<16, lowercased: "application/json")
        )
        #expect(isWhole)
        #expect(!isPart)
    }
}

@Suite struct `Accepted types` {
    private func accepted(_ text: String) -> AcceptedTypes { AcceptedTypes(Array(text.utf8).span) }

    @Test func `are weighed by the most specific range`() {
        let types = accepted("text/*;q=0.3, text/html;q=0.7, */*;q=0.5, application/x-ndjson, image/png;q=0")
        #expect(types.quality(of: "text/html") == 700)
        #expect(types.quality(of: "text/csv") == 300)
        #expect(types.quality(of: "application/json") == 500)
        #expect(types.quality(of: "application/x-ndjson") == 1000)
        #expect(types.quality(of: "image/png") == 0)
    }

    @Test func `choose among offers`() {
        let offers = ["application/json", "application/x-ndjson", "text/csv"]
        #expect(accepted("").preferred(among: offers) == "application/json")
        #expect(accepted("*/*").preferred(among: offers) == "application/json")
        #expect(accepted("TEXT/CSV;Q=0.9, application/json;q=0.8").preferred(among: offers) == "text/csv")
        #expect(accepted("text/html;level=\"1,2\", text/*;q=0.001").preferred(among: offers) == "text/csv")
        #expect(accepted("image/png").preferred(among: offers) == nil)
        #expect(accepted("application/json;q=0").preferred(among: offers) == nil)
    }
}

@Suite struct `Content codings` {
    private func list(_ text: String) -> [ContentCoding] { ContentCoding.list(Array(text.utf8).span) }
    private func acceptsGzip(_ text: String) -> Bool { ContentCoding.acceptsGzip(Array(text.utf8).span) }

    @Test func `are listed in order`() {
        #expect(list("gzip") == [.gzip])
        #expect(list(" X-GZIP ,, deflate, identity,br") == [.gzip, .deflate, .identity, .other])
        #expect(list("") == [])
    }

    @Test func `are offered by the client`() {
        for (text, accepts) in [
            ("gzip, br", true), ("br;q=1.0, GZIP;q=0.5", true), ("*", true), ("gzip;q=0, *", false),
            ("br", false), ("", false),
            ("*;q=0", false), ("x-gzip", true),
        ] {
            #expect(acceptsGzip(text) == accepts, "\(text)")
        }
    }
}

/// Field values and targets come from strangers: whatever the bytes, the answer is a value.
@Suite struct `Small syntaxes` {
    @Test func `survive any bytes`() {
        let alphabet = Array(" \t,;=\"\\/%+&*.q019azAZ".utf8) + [0, 0x7F, 0x80, 0xC3, 0xFF]
        for seed in UInt64(0)..<3000 {
            var random = SeededRandom(seed: seed)
            let bytes = (0..<Int.random(in: 0...12, using: &random)).map { _ in
                alphabet.randomElement(using: &random) ?? 0
            }
            let type = MediaType(bytes.span)
            #expect(type == nil || type?.essence.contains("/") == true, "seed \(seed)")
            let quality = AcceptedTypes(bytes.span).quality(of: "a/b")
            #expect((0...1000).contains(quality), "seed \(seed)")
            let codings = ContentCoding.list(bytes.span)
            #expect(codings.count <= bytes.count, "seed \(seed)")
            let segments = percentDecodedPath(bytes.span) ?? []
            #expect(
                !segments.contains { $0.contains("/") || $0 == ".." || $0.contains("\0") },
                "seed \(seed)"
            )
            let items = (try? QueryItems(bytes.span))?.items ?? []
            #expect(items.allSatisfy { !$0.name.contains("\0") }, "seed \(seed)")
        }
    }
}
