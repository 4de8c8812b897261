import Testing

@testable import millrace

/// All chunks of `text`, fed in pieces of `size` bytes.
private func chunks(_ text: String, pieces size: Int, lines: Int = 1_000, bytes: Int = 1 << 20) -> [SendChunk]
{
    var chunker = LineChunker(source: "f", linesMax: lines, bytesMax: bytes)
    var chunks: [SendChunk] = []
    let all = Array(text.utf8)
    for start in stride(from: 0, to: all.count, by: size) {
        let piece = Array(all[start..<min(all.count, start + size)])
        var taken = 0
        while taken < piece.count {
            taken += chunker.take(piece.span.extracting(taken..<piece.count))
            if chunker.isFull { chunks.append(chunker.cut()) }
        }
    }
    chunker.takeEnd()
    if chunker.chunk.events > 0 { chunks.append(chunker.cut()) }
    return chunks
}

@Suite struct `Chunks of lines` {
    @Test func `hold each line once with its number, wherever the reads cut it`() {
        let text = "{\"a\":1}\n\n  {\"b\":2}\r\n   \n\u{1E}{\"c\":3}\n{\"d\":4}"
        for size in 1...text.utf8.count {
            let found = chunks(text, pieces: size)
            #expect(found.count == 1, "pieces of \(size)")
            let all = String(decoding: found.flatMap(\.bytes), as: UTF8.self)
            #expect(all == "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n{\"d\":4}\n", "pieces of \(size)")
            #expect(found.first?.lineNumbers == [1, 3, 5, 6], "pieces of \(size)")
        }
    }

    @Test func `end when they have enough lines or bytes`() {
        let text = (0..<10).map { "line\($0)\n" }.joined()
        for size in [1, 7, 1_000] {
            #expect(chunks(text, pieces: size, lines: 4).map(\.events) == [4, 4, 2])
            #expect(chunks(text, pieces: size, bytes: 13).map(\.events) == [3, 3, 3, 1])
        }
    }

    @Test func `hold the beginning of a line that is too long for any event, and its neighbours`() {
        let long = String(repeating: "x", count: LineChunker.lineBytesMax + 10)
        let found = chunks("a\n\(long)\nb\n", pieces: 1 << 16, bytes: 1 << 24)
        #expect(found.map(\.lineNumbers) == [[1, 2, 3]])
        #expect(found.first?.bytes.count == 2 + LineChunker.lineBytesMax + 1 + 2)
    }

    @Test func `are none for a file without events`() {
        #expect(chunks("", pieces: 1).isEmpty)
        #expect(chunks("\n \r\n\n", pieces: 2).isEmpty)
    }
}
