import HTTP
import Testing

@Suite struct `Trace parents` {
    private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let parent = "00f067aa0ba902b7"

    private static func parse(_ text: String) -> TraceParent? {
        let bytes = Array(text.utf8)
        return TraceParent(bytes.span)
    }

    @Test func `are read as the standard has them`() throws {
        let sampled = try #require(Self.parse("00-\(Self.trace)-\(Self.parent)-01"))
        #expect(sampled.traceID == Self.trace)
        #expect(sampled.parentID == Self.parent)
        #expect(sampled.isSampled)
        #expect(Self.parse("00-\(Self.trace)-\(Self.parent)-00")?.isSampled == false)
        #expect(Self.parse("01-\(Self.trace)-\(Self.parent)-03")?.isSampled == true)
        #expect(Self.parse("fe-\(Self.trace)-\(Self.parent)-00-more")?.traceID == Self.trace)
    }

    @Test func `are written in the form of version 00`() {
        let texts = ["00-\(Self.trace)-\(Self.parent)-00", "00-\(Self.trace)-\(Self.parent)-01"]
        #expect(texts.map { Self.parse($0)?.text } == texts)
        #expect(Self.parse("cc-\(Self.trace)-\(Self.parent)-ff-more")?.text == texts[1])
    }

    @Test func `are refused at every other length`() {
        let text = "00-\(Self.trace)-\(Self.parent)-01"
        for cut in 0..<text.utf8.count { #expect(Self.parse(String(text.prefix(cut))) == nil, "\(cut)") }
        #expect(Self.parse(text + "-") == nil)
        #expect(Self.parse(text + "0") == nil)
        #expect(Self.parse("01" + text.dropFirst(2) + "0") == nil)
    }

    @Test func `are refused with any byte that is out of place`() {
        let bytes = Array("00-\(Self.trace)-\(Self.parent)-01".utf8)
        for index in bytes.indices {
            for wrong in ["g", "A", " ", "_"] {
                var damaged = bytes
                damaged[index] = Array(wrong.utf8)[0]
                #expect(TraceParent(damaged.span) == nil, "\(wrong) at \(index)")
            }
        }
        let zeros = String(repeating: "0", count: 32)
        #expect(Self.parse("00-\(zeros)-\(Self.parent)-01") == nil)
        #expect(Self.parse("00-\(Self.trace)-\(zeros.prefix(16))-01") == nil)
        #expect(Self.parse("ff-\(Self.trace)-\(Self.parent)-01") == nil)
    }
}
