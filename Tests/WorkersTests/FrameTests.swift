import TestSupport
import Testing
import Workers

@Suite struct `Frames` {
    static let samples = [
        Frame(.helloOK, sequence: 0, header: Array(#"{"version":1}"#.utf8)),
        Frame(.result, sequence: 7, header: Array(#"{"token":9}"#.utf8), body: Array("body".utf8)),
        Frame(.bye, sequence: .max),
    ]

    static func encoded(_ frames: [Frame], bodyBytesMax: Int = 1 << 20) -> [UInt8] {
        var bytes: [UInt8] = []
        for frame in frames { FrameEncoder(bodyBytesMax: bodyBytesMax).append(frame, to: &bytes) }
        return bytes
    }

    /// Decodes `bytes`, handed over in pieces that end at `cuts`.
    static func decode(
        _ bytes: [UInt8],
        cuts: [Int] = [],
        limits: FrameLimits = FrameLimits()
    ) throws(FrameError) -> [Frame] {
        var decoder = FrameDecoder(limits: limits)
        var frames: [Frame] = []
        var start = 0
        for end in cuts + [bytes.count] {
            var offset = start
            while offset < end {
                let (taken, frame) = try decoder.take(bytes.span.extracting(offset..<end))
                offset += taken
                if let frame { frames.append(frame) }
            }
            start = end
        }
        try decoder.finish()
        return frames
    }

    @Test func `have the protocol's layout`() {
        let bytes = Self.encoded([Frame(.job, sequence: 0x0102_0304, header: [0x7b, 0x7d], body: [9])])
        #expect(bytes == [0, 0, 0, 1, 0x10, 0, 0, 2, 1, 2, 3, 4, 0x7b, 0x7d, 9])
    }

    @Test func `come back whole from every split point`() throws {
        let bytes = Self.encoded(Self.samples)
        for cut in 0...bytes.count {
            #expect(try Self.decode(bytes, cuts: [cut]) == Self.samples, "cut at \(cut)")
        }
        #expect(try Self.decode(bytes, cuts: Array(1..<bytes.count)) == Self.samples)
    }

    @Test func `are not complete when cut short`() {
        let bytes = Self.encoded([Self.samples[1]])
        for count in 1..<bytes.count {
            #expect(throws: FrameError.truncatedFrame, "\(count) bytes") {
                try Self.decode(Array(bytes[..<count]))
            }
        }
    }

    @Test func `carry a long body in chunks`() throws {
        let long = Frame(.result, sequence: 3, header: Array("{}".utf8), body: Array(0..<250))
        let bytes = Self.encoded([long], bodyBytesMax: 100)
        #expect(bytes.count == 3 * 12 + 2 + 250)
        #expect(try Self.decode(bytes) == [long])
    }

    @Test func `may come between the chunks of another`() throws {
        let long = Frame(.result, sequence: 3, body: [1, 2])
        let pong = Frame(.pong, sequence: 0)
        let chunks = Self.encoded([long], bodyBytesMax: 1)
        let bytes = chunks[..<13] + Self.encoded([pong]) + chunks[13...]
        #expect(try Self.decode(Array(bytes)) == [pong, long])
    }

    @Test func `in chunks do not mix`() {
        let first = Self.encoded([Frame(.result, sequence: 3, body: [1, 2])], bodyBytesMax: 1)
        let second = Self.encoded([Frame(.result, sequence: 4, body: [1, 2])], bodyBytesMax: 1)
        #expect(throws: FrameError.interleavedChunks) { try Self.decode(Array(first[..<13]) + second) }
    }

    @Test func `end inside a message in chunks only as truncated`() {
        let bytes = Self.encoded([Frame(.result, sequence: 3, body: [1, 2])], bodyBytesMax: 1)
        #expect(throws: FrameError.truncatedFrame) { try Self.decode(Array(bytes[..<13])) }
    }

    @Test func `over a limit are refused by their prefix alone`() {
        var limits = FrameLimits()
        limits.headerBytesMax = 10
        limits.bodyBytesMax = 100
        limits.messageBytesMax = 150
        func prefix(body: [UInt8], header: UInt8, flags: UInt8 = 0) -> [UInt8] {
            body + [0x20, flags, 0, header, 0, 0, 0, 1]
        }
        #expect(throws: FrameError.bodyTooLong(bytes: 0xffff_ffff, limit: 100)) {
            try Self.decode(prefix(body: [255, 255, 255, 255], header: 0), limits: limits)
        }
        #expect(throws: FrameError.headerTooLong(bytes: 11, limit: 10)) {
            try Self.decode(prefix(body: [0, 0, 0, 0], header: 11), limits: limits)
        }
        #expect(throws: FrameError.unknownFlags(2)) {
            try Self.decode(prefix(body: [0, 0, 0, 0], header: 0, flags: 2), limits: limits)
        }
        let body = [UInt8](repeating: 0, count: 100)
        let first = prefix(body: [0, 0, 0, 100], header: 0, flags: 1) + body
        #expect(throws: FrameError.messageTooLong(limit: 150)) {
            try Self.decode(first + prefix(body: [0, 0, 0, 51], header: 0), limits: limits)
        }
    }

    @Test func `made of noise never do harm`() {
        var limits = FrameLimits()
        limits.bodyBytesMax = 1000
        for seed in UInt64(0)..<200 {
            var random = SplitMix(seed: seed)
            let bytes = (0..<Int.random(in: 0..<400, using: &random)).map { _ in
                // Small numbers, or hardly a frame would pass the limits.
                Bool.random(using: &random) ? UInt8.random(in: 0...2, using: &random) : 0
            }
            let cuts = [bytes.count / 3, bytes.count / 2]
            let whole = Result { () throws(FrameError) in try Self.decode(bytes, limits: limits) }
            let split = Result { () throws(FrameError) in try Self.decode(bytes, cuts: cuts, limits: limits) }
            #expect(whole == split, "seed \(seed)")
        }
    }
}
