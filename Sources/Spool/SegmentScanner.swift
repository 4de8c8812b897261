import Reactor

/// Reads a segment's records one after another, over whatever lies between them.
///
/// Where a record is expected and none is, it looks at each later place for the next one that is whole: its
/// length fits, its sequence can follow, its sum is right.
struct SegmentScanner {
    enum Found: Equatable {
        case record(SpooledRecord)
        /// Bytes that are no record and that a whole record follows.
        case damage(bytes: Int)
        /// No whole record follows; `remains` when the rest is not all zeros.
        case end(remains: Bool)
    }

    /// Where the next record is expected.
    private(set) var offset = 0
    /// The next record's sequence, or a lower bound of it.
    private(set) var expected: UInt64
    /// Bytes that the disk would not give; they count as zeros.
    private(set) var unreadableBytes = 0
    /// One past the last byte that is looked at.
    private(set) var end: Int
    private let file: any SpoolFile
    private let salt: UInt32
    /// Records from here on belong to the next segment.
    private let limit: UInt64
    private let payloadBytesMax: Int
    private let windowBytes: Int
    private var window: [UInt8] = []
    private var windowStart = 0

    private static let pageBytes = 4_096

    /// Scans the first `end` bytes of the file for records with sequences below `limit`.
    init(_ file: any SpoolFile, _ name: SegmentName, end: Int, limit: UInt64, limits: SpoolLimits) {
        self.file = file
        self.end = end
        self.limit = limit
        salt = name.salt
        expected = name.first
        payloadBytesMax = limits.payloadBytesMax
        windowBytes = limits.windowBytes
    }

    /// Lets the scan go on to what has been appended since.
    mutating func extend(to end: Int) {
        if end > self.end { self.end = end }
    }

    /// The next record, damage, or the end; after an end it goes on when the end was extended.
    mutating func next() -> Found {
        if let found = take(at: offset) { return found }
        var place = offset + RecordHeader.alignment
        while let candidate = findCandidate(from: place) {
            if isRecord(at: candidate) {
                let skipped = candidate - offset
                offset = candidate
                return .damage(bytes: skipped)
            }
            place = candidate + RecordHeader.alignment
        }
        return .end(remains: hasRemains())
    }

    /// The record at `place`, which it steps over.
    private mutating func take(at place: Int) -> Found? {
        guard let header = wholeRecord(at: place) else { return nil }
        let start = place - windowStart
        let body = start + RecordHeader.byteCount
        let payload = Array(window[body..<body + header.payloadBytes])
        offset = place + header.recordBytes
        expected = header.sequence + 1
        return .record(SpooledRecord(header, payload))
    }

    private mutating func isRecord(at place: Int) -> Bool { wholeRecord(at: place) != nil }

    /// The header of a whole record at `place`, all of which is in the window then.
    private mutating func wholeRecord(at place: Int) -> RecordHeader? {
        guard load(place, RecordHeader.byteCount) else { return nil }
        guard let header = RecordHeader(window.span, at: place - windowStart, salt: salt),
            fits(header, at: place),
            load(place, header.recordBytes)
        else { return nil }
        let body = place - windowStart + RecordHeader.byteCount
        let payload = window.span.extracting(body..<body + header.payloadBytes)
        return RecordHeader.sum(payload, salt: salt) == header.sum ? header : nil
    }

    private func fits(_ header: RecordHeader, at place: Int) -> Bool {
        header.payloadBytes <= payloadBytesMax && place + header.recordBytes <= end
            && header.sequence >= expected && header.sequence < limit
            && header.sequence - expected <= UInt64(end / RecordHeader.byteCount)
    }

    /// The first place from `start` on whose bytes could be a header, by its sequence alone.
    private mutating func findCandidate(from start: Int) -> Int? {
        var place = start
        while load(place, RecordHeader.byteCount) {
            let bytes = window.span.bytes
            let lower = expected
            let upper = min(limit, expected &+ UInt64(end / RecordHeader.byteCount))
            var index = place - windowStart
            while index &+ RecordHeader.byteCount <= window.count {
                // The offset is checked; every pattern is an integer.
                let sequence = UInt64(
                    littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: index &+ 8, as: UInt64.self)
                )
                if sequence >= lower, sequence <= upper { return windowStart + index }
                index &+= RecordHeader.alignment
            }
            place = windowStart + index
        }
        return nil
    }

    /// Whether anything but zeros follows.
    private mutating func hasRemains() -> Bool {
        var place = offset
        while place < end, load(place, min(RecordHeader.alignment, end - place)) {
            let start = place - windowStart
            if window[start...].contains(where: { $0 != 0 }) { return true }
            place = windowStart + window.count
        }
        return false
    }

    // MARK: The window

    /// Makes the window hold `count` bytes from `place` on; `false` when there are not so many.
    private mutating func load(_ place: Int, _ count: Int) -> Bool {
        if place >= windowStart, place + count <= windowStart + window.count { return true }
        guard place + count <= end else { return false }
        let wanted = min(max(count, windowBytes), end - place)
        window = readAnyway(place, wanted)
        windowStart = place
        return window.count >= count
    }

    /// Reads page by page where the disk refuses the whole: a bad sector is to cost no more than it holds.
    private mutating func readAnyway(_ place: Int, _ count: Int) -> [UInt8] {
        if let bytes = readable(place, count) { return bytes }
        var bytes: [UInt8] = []
        while bytes.count < count {
            let rest = Self.pageBytes - (place + bytes.count) % Self.pageBytes
            let page = min(rest, count - bytes.count)
            if let read = readable(place + bytes.count, page) {
                bytes += read
                if read.count < page { break }
            } else {
                unreadableBytes += page
                bytes += repeatElement(0, count: page)
            }
        }
        return bytes
    }

    /// `nil` when the disk does not give them.
    private func readable(_ place: Int, _ count: Int) -> [UInt8]? {
        do throws(SystemError) { return try file.read(at: place, count: count) } catch { return nil }
    }
}
