import Server
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct Inflation {
    /// Some text that repeats itself and some noise, so that there are matches and literals.
    private static let text: [UInt8] = {
        var random = SplitMix(seed: 7)
        var text: [UInt8] = []
        for number in 0..<40 {
            text += Array(#"{"type":"page.viewed","subject":"user-\#(number)","data":{"n":"#.utf8)
            text += (0..<8).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        }
        return text
    }()

    /// What comes of `pieces`, one after another, until there is no more to be had of each.
    private static func inflate(
        _ pieces: [ArraySlice<UInt8>],
        _ format: Inflater.Format,
        limits: InflateLimits = InflateLimits()
    ) throws(InflateError) -> [UInt8] {
        var inflater = Inflater(format, limits: limits)
        var output: [UInt8] = []
        for piece in pieces {
            let input = Array(piece)
            var used = 0
            repeat {
                let before = output.count
                used += try inflater.inflate(input.span.extracting(used..<input.count), into: &output)
                #expect(output.count - before <= Inflater.stepBytesMax)
            } while used < input.count || inflater.hasPendingOutput
        }
        try inflater.finish()
        return output
    }

    private static func inflate(
        _ bytes: [UInt8],
        cutAt cuts: [Int] = [],
        _ format: Inflater.Format
    ) throws(InflateError) -> [UInt8] {
        let ends = [0] + cuts + [bytes.count]
        return try inflate(zip(ends, ends.dropFirst()).map { bytes[$0..<$1] }, format)
    }

    private static func format(of wrapping: Deflater.Wrapping) -> Inflater.Format {
        wrapping == .gzip ? .gzip : .deflate
    }

    @Test(arguments: Deflater.Wrapping.allCases)
    func `gives the text back wherever the input is cut in two`(wrapping: Deflater.Wrapping) throws {
        for level in [0, 1, 9] as [CInt] {
            let packed = Deflater.compress(Self.text, wrapping, level: level)
            for cut in 0...packed.count {
                let text = try Self.inflate(packed, cutAt: [cut], Self.format(of: wrapping))
                #expect(text == Self.text, "cut at \(cut), level \(level)")
            }
        }
    }

    @Test(arguments: Deflater.Wrapping.allCases)
    func `gives the text back byte by byte`(wrapping: Deflater.Wrapping) throws {
        let packed = Deflater.compress(Self.text, wrapping)

        let text = try Self.inflate(packed.indices.map { packed[$0...$0] }, Self.format(of: wrapping))

        #expect(text == Self.text)
    }

    @Test(arguments: Deflater.Wrapping.allCases)
    func `inflates the empty text`(wrapping: Deflater.Wrapping) throws {
        let packed = Deflater.compress([], wrapping)
        #expect(try Self.inflate(packed, Self.format(of: wrapping)).isEmpty)
    }

    @Test func `inflates in bounded steps what is larger than one`() throws {
        let text = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 % 251 ^ $0 >> 12) }
        #expect(try Self.inflate(Deflater.compress(text, .gzip), .gzip) == text)
    }

    @Test func `joins gzip members into one text, whatever the cut`() throws {
        let parts = [Self.text.prefix(500), [], Self.text.dropFirst(500)].map { Array($0) }
        let packed = parts.flatMap { Deflater.compress($0, .gzip) }
        for cut in 0...packed.count {
            #expect(try Self.inflate(packed, cutAt: [cut], .gzip) == Self.text, "cut at \(cut)")
        }
    }

    @Test(arguments: Deflater.Wrapping.allCases)
    func `passes over zeros behind the end, whatever the cut`(wrapping: Deflater.Wrapping) throws {
        let packed = Deflater.compress(Self.text, wrapping) + [UInt8](repeating: 0, count: 700)
        for cut in packed.count - 705...packed.count {
            let text = try Self.inflate(packed, cutAt: [cut], Self.format(of: wrapping))
            #expect(text == Self.text, "cut at \(cut)")
        }
    }

    @Test(arguments: Deflater.Wrapping.allCases, [[0x47], [0, 0, 0x1F, 0x8B]])
    func `refuses what follows the end and is neither zeros nor a member`(
        wrapping: Deflater.Wrapping,
        tail: [UInt8]
    ) {
        let packed = Deflater.compress(Self.text, wrapping)
        let error = #expect(throws: InflateError.self) {
            try Self.inflate(packed + tail, Self.format(of: wrapping))
        }
        guard case .corrupt(let offset)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(packed.count...packed.count + tail.count ~= offset)
    }

    @Test(arguments: Deflater.Wrapping.allCases)
    func `notices every truncation`(wrapping: Deflater.Wrapping) {
        let packed = Deflater.compress(Self.text, wrapping)
        for count in 0..<packed.count {
            #expect(throws: InflateError.truncated, "\(count) bytes") {
                try Self.inflate(Array(packed[..<count]), Self.format(of: wrapping))
            }
        }
    }

    @Test func `notices a truncated second member`() throws {
        let first = Deflater.compress(Self.text, .gzip)
        let packed = first + first
        for count in first.count + 1..<packed.count {
            #expect(throws: InflateError.truncated, "\(count) bytes") {
                try Self.inflate(Array(packed[..<count]), .gzip)
            }
        }
    }

    @Test(arguments: [Deflater.Wrapping.gzip, .zlib])
    func `never takes damaged bytes for another text`(wrapping: Deflater.Wrapping) {
        let packed = Deflater.compress(Self.text, wrapping)
        for offset in packed.indices {
            for bit in 0..<8 {
                var damaged = packed
                damaged[offset] ^= 1 << bit
                // Some bits mean nothing (gzip's time stamp); what must not be is a wrong text.
                let text = try? Self.inflate(damaged, Self.format(of: wrapping))
                #expect(text == nil || text == Self.text, "bit \(bit) of byte \(offset)")
            }
        }
    }

    @Test(arguments: [Array("{\"type\":\"plain\"}".utf8), [0x1F, 0x8B, 0x07, 0, 0, 0, 0, 0, 0, 0]])
    func `refuses bytes that are not gzip, and goes on refusing`(bytes: [UInt8]) {
        var inflater = Inflater(.gzip)
        var output: [UInt8] = []
        var errors: [InflateError] = []
        for _ in 0..<2 {
            do throws(InflateError) { _ = try inflater.inflate(bytes.span, into: &output) } catch {
                errors.append(error)
            }
        }
        do throws(InflateError) { try inflater.finish() } catch { errors.append(error) }

        #expect(errors.count == 3 && errors.allSatisfy { $0 == errors[0] })
        #expect(errors.first != .truncated)
        #expect(output.isEmpty)
    }

    @Test func `refuses a preset dictionary, which nobody here knows`() {
        #expect(throws: InflateError.self) { try Self.inflate([0x78, 0xBB, 1, 2, 3, 4, 3, 0], .deflate) }
    }

    @Test(arguments: Deflater.Wrapping.allCases)
    func `stops a bomb while it is small`(wrapping: Deflater.Wrapping) {
        let packed = Deflater.compress([UInt8](repeating: 0x20, count: 32 << 20), wrapping, level: 9)
        var inflater = Inflater(Self.format(of: wrapping))
        var output: [UInt8] = []
        var used = 0
        let error = #expect(throws: InflateError.self) {
            while used < packed.count || inflater.hasPendingOutput {
                let input = packed
                used += try inflater.inflate(input.span.extracting(used..<input.count), into: &output)
            }
        }

        #expect(error == .ratioTooHigh(limit: 200))
        #expect(output.count <= 1 << 20 + Inflater.stepBytesMax + 200 * used)
        #expect(output.count < 4 << 20)
    }

    @Test func `adds members up for the ratio`() {
        let member = Deflater.compress([UInt8](repeating: 0x20, count: 1 << 20), .gzip, level: 9)
        let packed = [[UInt8]](repeating: member, count: 32).flatMap { $0 }
        #expect(throws: InflateError.ratioTooHigh(limit: 200)) { try Self.inflate(packed, .gzip) }
    }

    @Test func `allows the limit of bytes and not one more`() throws {
        let packed = Deflater.compress(Self.text, .gzip)
        var limits = InflateLimits()
        limits.bytesMax = Self.text.count
        #expect(try Self.inflate([packed[...]], .gzip, limits: limits) == Self.text)

        limits.bytesMax = Self.text.count - 1
        #expect(throws: InflateError.tooLarge(limit: Self.text.count - 1)) {
            try Self.inflate([packed[...]], .gzip, limits: limits)
        }
    }
}
