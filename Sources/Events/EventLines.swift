/// Decodes a body of one event a line, as its reads come in.
package struct EventLines: Sendable {
    /// Events so far, valid or not; the index of the next one.
    package private(set) var events: Int32 = 0
    private let decoder: EventDecoder
    private var splitter: LineSplitter

    /// - Parameters:
    ///   - decoder: its limits say how long a line may be.
    ///   - separatesRecords: whether an RS inside a line ends it as well (json-seq).
    package init(decoder: EventDecoder, separatesRecords: Bool = false) {
        self.decoder = decoder
        splitter = LineSplitter(
            lineBytesMax: decoder.limits.rejectBytesMax,
            separatesRecords: separatesRecords
        )
    }

    /// Physical lines that have ended so far, blank ones too.
    package var lines: Int { splitter.lines }
    package var blankLines: Int { splitter.blankLines }

    /// Decodes the lines that end in `input` from `offset` on, until `lines` is `lineLimit`.
    ///
    /// `offset` is moved behind what was taken; when it reaches the end, the input is used up.
    package mutating func decode(
        _ input: Span<UInt8>,
        from offset: inout Int,
        untilLine lineLimit: Int = .max,
        context: inout DecodeContext,
        into arena: inout EventArena
    ) {
        while splitter.lines < lineLimit, let line = splitter.next(in: input, from: &offset) {
            decode(line, input, context: &context, into: &arena)
        }
    }

    /// Decodes the last line, if the body did not end with a line feed.
    package mutating func finish(context: inout DecodeContext, into arena: inout EventArena) {
        guard let line = splitter.finish() else { return }
        let carried = splitter.carried
        decode(line, carried.span, context: &context, into: &arena)
    }

    private mutating func decode(
        _ line: LineSplitter.Line,
        _ input: Span<UInt8>,
        context: inout DecodeContext,
        into arena: inout EventArena
    ) {
        switch line {
        case .blank:
            return
        case .within(let range):
            decoder.decode(input.extracting(range), index: events, context: &context, into: &arena)
        case .carried(let range):
            let text = splitter.carried.span.extracting(range)
            decoder.decode(text, index: events, context: &context, into: &arena)
        case .tooLong:
            decoder.rejectTooLarge(splitter.carried.span, index: events, into: &arena)
        }
        events += 1
    }
}
