/// Cuts a stream into lines, however the reads cut it.
///
/// A line ends with LF; a CR before it, spaces around and the RS (0x1E) of json-seq in front do not belong to
/// it. A line that lies within one read is not copied. One that does not is carried over to the next, up to
/// `lineBytesMax`; beyond, the rest of it is skipped.
package struct LineSplitter: Sendable {
    package enum Line: Equatable, Sendable {
        /// The line lies in this range of the input.
        case within(Range<Int>)
        /// The line lies in this range of ``LineSplitter/carried``, until the next call.
        case carried(Range<Int>)
        /// Nothing but whitespace.
        case blank
        /// The line was over the limit; ``LineSplitter/carried`` has its beginning, until the next call.
        case tooLong
    }

    /// Physical lines seen, blank ones too; also the number, from 1, of the line returned last.
    package private(set) var lines = 0
    package private(set) var blankLines = 0
    package private(set) var carried: [UInt8] = []

    private let lineBytesMax: Int
    private let separatesRecords: Bool
    private var isSkipping = false
    private var isCarriedDone = false

    /// - Parameters:
    ///   - lineBytesMax: bytes before the LF, a CR and spaces included.
    ///   - separatesRecords: whether an RS inside a line ends it as well (json-seq, RFC 7464).
    package init(lineBytesMax: Int, separatesRecords: Bool = false) {
        self.lineBytesMax = lineBytesMax
        self.separatesRecords = separatesRecords
    }

    /// The next line that ends in `input`, `offset` moved behind it; nil when the input is used up.
    package mutating func next(in input: Span<UInt8>, from offset: inout Int) -> Line? {
        dropDone()
        while offset < input.count {
            let start = offset
            let end = lineEnd(in: input, from: start)
            let isOver = !isSkipping && carried.count + (end - start) > lineBytesMax
            if isOver { isSkipping = true }
            let isWithin = end < input.count && carried.isEmpty && !isSkipping
            if !isWithin { carry(input, start..<end) }
            offset = min(end + 1, input.count)
            if end == input.count { return nil }
            let isLineFeed = input[end] == .lineFeed
            if isLineFeed { lines += 1 }
            if isWithin {
                let range = Self.content(of: input.extracting(start..<end))
                if !range.isEmpty { return .within(start + range.lowerBound..<start + range.upperBound) }
            } else if let line = endCarried() {
                return line
            }
            // The empty stretch before an RS is no line.
            if isLineFeed {
                blankLines += 1
                return .blank
            }
        }
        return nil
    }

    /// The last line, when the stream did not end with LF; nil when nothing is left.
    package mutating func finish() -> Line? {
        dropDone()
        if carried.isEmpty, !isSkipping { return nil }
        lines += 1
        if let line = endCarried() { return line }
        blankLines += 1
        return .blank
    }

    private mutating func dropDone() {
        guard isCarriedDone else { return }
        carried.removeAll(keepingCapacity: true)
        isCarriedDone = false
    }

    private mutating func carry(_ input: Span<UInt8>, _ range: Range<Int>) {
        let room = min(range.count, max(0, lineBytesMax - carried.count))
        carried.append(copying: input.extracting(range.lowerBound..<range.lowerBound + room))
    }

    /// The line that `carried` holds now that it has ended; nil when it is blank.
    private mutating func endCarried() -> Line? {
        isCarriedDone = true
        if isSkipping {
            isSkipping = false
            return .tooLong
        }
        let range = Self.content(of: carried.span)
        if !range.isEmpty { return .carried(range) }
        dropDone()
        return nil
    }

    private static func content(of line: Span<UInt8>) -> Range<Int> {
        var range = line.trimmed()
        while !range.isEmpty, line[range.lowerBound] == .recordSeparator || line[range.lowerBound].isJSONSpace
        {
            range = range.lowerBound + 1..<range.upperBound
        }
        return range
    }

    /// The index of the byte that ends the line, or the count of bytes.
    private func lineEnd(in input: Span<UInt8>, from start: Int) -> Int {
        var index = start
        while index &+ 8 <= input.count {
            let word = input.word(at: index)
            var ends = word.matches(.lineFeed)
            if separatesRecords { ends |= word.matches(.recordSeparator) }
            if ends != 0 { return index &+ ends.lowestFlaggedByte }
            index &+= 8
        }
        while index < input.count {
            let byte = input[index]
            if byte == .lineFeed || separatesRecords && byte == .recordSeparator { return index }
            index &+= 1
        }
        return index
    }
}
