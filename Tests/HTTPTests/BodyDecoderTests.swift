import HTTP
import Testing

@Suite struct `Body decoder` {
    /// What comes of a chunked body, or its error.
    private func decode(
        _ text: String,
        limits: HTTPLimits = HTTPLimits(),
        bodyBytesMax: Int? = nil
    ) -> Result<String, RequestError> {
        Result { () throws(RequestError) in
            let bytes = Array(text.utf8)
            var decoder = BodyDecoder(.chunked, limits: limits, bodyBytesMax: bodyBytesMax)
            var output: [UInt8] = []
            let count = try decoder.decode(bytes.span, into: &output)
            let rest = decoder.isComplete ? "" : " and waits"
            return "\(String(decoding: output, as: UTF8.self))\(rest), \(bytes.count - count) left"
        }
    }

    @Test func `is complete at once without a body`() throws {
        for framing in [BodyFraming.none, .length(0)] {
            var decoder = BodyDecoder(framing, limits: HTTPLimits(), bodyBytesMax: 0)
            var output: [UInt8] = []
            #expect(decoder.isComplete)
            #expect(try decoder.decode([1, 2].span, into: &output) == 0)
            #expect(output.isEmpty)
        }
    }

    @Test func `stops at the end of a body with a length`() throws {
        var decoder = BodyDecoder(.length(3), limits: HTTPLimits(), bodyBytesMax: nil)
        var output: [UInt8] = []
        #expect(try decoder.decode([1, 2].span, into: &output) == 2)
        #expect(!decoder.isComplete)
        #expect(try decoder.decode([3, 4].span, into: &output) == 1)
        #expect(decoder.isComplete)
        #expect(output == [1, 2, 3])
    }

    @Test func `refuses a body that announces too much`() {
        var decoder = BodyDecoder(.length(11), limits: HTTPLimits(), bodyBytesMax: 10)
        var output: [UInt8] = []
        let nothing: [UInt8] = []
        #expect(throws: RequestError.bodyTooLarge(limit: 10)) {
            try decoder.decode(nothing.span, into: &output)
        }
        #expect(decode("5\r\nhello\r\n6\r\n", bodyBytesMax: 10) == .failure(.bodyTooLarge(limit: 10)))
        #expect(
            decode("5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", bodyBytesMax: 10)
                == .success("hellohello, 0 left")
        )
        #expect(decode("7fffffffffffffff\r\n", bodyBytesMax: 10) == .failure(.bodyTooLarge(limit: 10)))
        #expect(decode("1\r\na\r\n7fffffffffffffff\r\n") == .failure(.malformedChunk(offset: 22)))
    }

    @Test func `accepts the grammar of chunks`() {
        for (text, result) in [
            ("0\r\n\r\nnext", ", 4 left"), ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789, 0 left"),
            ("00000000000000000000001\r\na\r\n00\r\n\r\n", "a, 0 left"),
            ("1;x\r\na\r\n0;y=z\r\n\r\n", "a, 0 left"),
            ("1 \t;x=\"\\\"\"\r\na\r\n0\r\nT: v\r\n\r\n", "a, 0 left"), ("1\r\na\r\n", "a and waits, 0 left"),
            ("0\r\nT:\r\nContent-Length: 3\r\n\r\n", ", 0 left"),
        ] {
            #expect(decode(text) == .success(result), "\(text.debugDescription)")
        }
    }

    @Test func `refuses what is none`() {
        for text in [
            "\r\n", ";x\r\n", "-1\r\n", "+1\r\n", "0x1\r\n", "g\r\n", "1_0\r\n", " 1\r\n", "1 \r\n",
            "1 2\r\n", "1\n", "1\r\r\n",
            "1;x\n", "1;\0\r\n", "1;\rx\r\n", "8000000000000000\r\n", "10000000000000001\r\n", "1\r\nab\r\n",
            "2\r\na\r\n0\r\n",
            "1\r\na\n", "1\r\na\rb", "0\r\n\n", "0\r\n\rx", "0\r\n x: y\r\n", "0\r\nx\r\n", "0\r\nx : y\r\n",
            "0\r\n: y\r\n",
            "0\r\nx: y\n", "0\r\nx: \0\r\n", "0\r\nx: y\r\r\n",
        ] {
            guard case .failure(let error) = decode(text) else {
                Issue.record("accepted \(text.debugDescription)")
                continue
            }
            #expect(error.status == 400, "\(text.debugDescription)")
        }
    }

    @Test func `bounds size lines, extensions and trailers`() {
        var limits = HTTPLimits()
        limits.chunkLineBytesMax = 20
        limits.chunkExtensionBytesMax = 12
        limits.trailerBytesMax = 30
        limits.fieldsMax = 3
        let zeros = String(repeating: "0", count: 20)
        #expect(decode("\(zeros)1", limits: limits) == .failure(.chunkExtensionsTooLarge(limit: 20)))
        #expect(
            decode("1;abcd\r\na\r\n1;abcd\r\na\r\n1;ab", limits: limits)
                == .success("aa and waits, 0 left").flatMap { _ in
                    .failure(.chunkExtensionsTooLarge(limit: 12))
                }
        )
        #expect(decode("0\r\na:\r\nb:\r\nc:\r\n\r\n", limits: limits) == .success(", 0 left"))
        #expect(decode("0\r\na:\r\nb:\r\nc:\r\nd", limits: limits) == .failure(.trailersTooLarge(limit: 3)))
        let long = String(repeating: "x", count: 30)
        #expect(decode("0\r\na:\(long)", limits: limits) == .failure(.trailersTooLarge(limit: 30)))
        #expect(RequestError.trailersTooLarge(limit: 30).status == 431)
    }

    /// Bodies of random chunks, read in random pieces into a decoder that gets random spans.
    @Test func `agrees with a simple encoder on random chunks`() throws {
        for seed in UInt64(0)..<300 {
            var random = SeededRandom(seed: seed)
            var encoded: [UInt8] = []
            var expected: [UInt8] = []
            for _ in 0..<Int.random(in: 0..<12, using: &random) {
                let count = Int.random(in: 1...(Bool.random(using: &random) ? 5 : 300), using: &random)
                let chunk = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
                expected += chunk
                let size = String(count, radix: 16, uppercase: Bool.random(using: &random))
                encoded += Array("\(Bool.random(using: &random) ? "0" : "")\(size)".utf8)
                if Int.random(in: 0..<4, using: &random) == 0 { encoded += Array(" ;e=\"x\"".utf8) }
                encoded += Array("\r\n".utf8) + chunk + Array("\r\n".utf8)
            }
            encoded += Array((Bool.random(using: &random) ? "0\r\n\r\n" : "00\r\nA: b\r\n\r\n").utf8)
            let total = encoded.count
            encoded += Array("GET".utf8)

            var decoder = BodyDecoder(.chunked, limits: HTTPLimits(), bodyBytesMax: expected.count)
            var output: [UInt8] = []
            var position = 0
            while !decoder.isComplete {
                let count = min(Int.random(in: 0...40, using: &random), encoded.count - position)
                position += try decoder.decode(
                    encoded.span.extracting(position..<position + count),
                    into: &output
                )
            }
            #expect(output == expected, "seed \(seed)")
            #expect(position == total, "seed \(seed)")
        }
    }
}
