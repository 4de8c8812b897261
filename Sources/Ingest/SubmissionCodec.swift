import Events
import HTTP
import Spool

/// Submissions as the spool keeps them: everything that was decided when they came, so that nothing is
/// decided anew when they are drained.
///
/// Above all the time of an event: one that brought neither a time nor an id with one in it got that of its
/// receipt, once; were it given another one later, a copy that had been stored after all would not be
/// recognised. The keys of events without an id are kept for the same reason.
enum SubmissionCodec {
    /// Payloads are made about this large: damage takes a record, and a drain reads many.
    private static let payloadBytesAimed = 64 << 10
    private static let version: UInt8 = 1
    /// Stands for "without a key"; numbers of keys begin at 1.
    private static let noSender: Int64 = 0
    /// What comes before an event's slices: flags, key, time, index and size.
    private static let eventHeadBytes = 1 + 16 + 8 + 4 + 4
    private static let slicesPerEvent = 7
    /// Among the slices.
    private static let positionOfID = 3

    private struct Flags: OptionSet {
        let rawValue: UInt8
        static let isUndated = Flags(rawValue: 1)
        static let isFresh = Flags(rawValue: 2)
        static let hasTime = Flags(rawValue: 4)
    }

    /// The records of a submission: one for an atomic one, which is drained as a whole too.
    static func encode(_ submission: Submission, mark: UInt64) -> [SpoolEntry] {
        var entries: [SpoolEntry] = []
        var next = 0
        var bytes = submission.bytes
        var rejections = submission.rejections
        var aborted = submission.aborted
        repeat {
            var payload = header(of: submission, bytes: bytes, aborted: aborted)
            let start = payload.count
            payload.append(littleEndian: UInt32(0))
            let first = next
            while next < submission.events.count,
                next == first || submission.isAtomic || payload.count < payloadBytesAimed
            {
                append(submission.events[next], of: submission.arena, to: &payload)
                next += 1
            }
            payload.replace(at: start, littleEndian: UInt32(next - first))
            payload.append(littleEndian: UInt32(rejections.count))
            for rejection in rejections { append(rejection, to: &payload) }
            let events = next - first + rejections.count + aborted
            entries.append(SpoolEntry(payload: payload, events: events, mark: mark))
            // What is not an event's goes with the first record.
            bytes = 0
            rejections = []
            aborted = 0
        } while next < submission.events.count
        return entries
    }

    private static func header(of submission: Submission, bytes: Int, aborted: Int) -> [UInt8] {
        var payload: [UInt8] = []
        payload.reserveCapacity(payloadBytesAimed + 1_024)
        payload.append(version)
        payload.append(submission.isAtomic ? 1 : 0)
        payload.append(littleEndian: submission.receivedAt)
        payload.append(littleEndian: Int64(bytes))
        payload.append(littleEndian: UInt32(aborted))
        payload.append(text: submission.requestID.text)
        payload.append(littleEndian: submission.sender ?? noSender)
        payload.append(text: submission.route.rawValue)
        payload.append(submission.decoding.isStrict ? 1 : 0)
        payload.append(optional: submission.decoding.defaultSource)
        payload.append(optional: submission.trace)
        return payload
    }

    private static func append(_ event: PreparedEvent, of arena: EventArena, to payload: inout [UInt8]) {
        let record = arena.records[event.record]
        var flags: Flags = []
        if event.isUndated { flags.insert(.isUndated) }
        if event.isFresh { flags.insert(.isFresh) }
        if record.time != nil { flags.insert(.hasTime) }
        payload.append(flags.rawValue)
        payload.append(littleEndian: UInt64(truncatingIfNeeded: event.key >> 64))
        payload.append(littleEndian: UInt64(truncatingIfNeeded: event.key))
        payload.append(littleEndian: event.ts)
        payload.append(littleEndian: record.index)
        payload.append(littleEndian: record.rawBytes)
        for slice in slices(of: record) {
            payload.append(littleEndian: slice.count)
            if !slice.isAbsent { payload.append(contentsOf: arena.bytes[slice.range]) }
        }
    }

    private static func slices(of record: EventRecord) -> [Slice] {
        [
            record.type, record.source, record.subject, record.id, record.attributes, record.data,
            record.dataBytes,
        ]
    }

    private static func append(_ rejection: Rejection, to payload: inout [UInt8]) {
        payload.append(littleEndian: rejection.index)
        payload.append(text: rejection.code.rawValue)
        payload.append(text: rejection.pointer)
        payload.append(text: rejection.detail)
        payload.append(optional: rejection.id)
        payload.append(blob: rejection.raw)
    }

    // MARK: Decoding

    /// The submission of one record; `nil` for what this version did not write.
    static func decode(_ payload: [UInt8]) -> Submission? {
        var reader = PayloadReader(bytes: payload)
        guard let header = header(from: &reader), let count = reader.integer(UInt32.self) else { return nil }
        var arena = EventArena()
        var events: [PreparedEvent] = []
        for _ in 0..<count {
            guard let event = event(from: &reader, into: &arena) else { return nil }
            events.append(event)
        }
        guard let refused = reader.integer(UInt32.self) else { return nil }
        for _ in 0..<refused {
            guard let rejection = rejection(from: &reader) else { return nil }
            arena.rejections.append(rejection)
        }
        guard reader.isAtEnd else { return nil }
        return header.submission(of: arena, events)
    }

    /// Calls `body` with the id of each event of a record, and of each reject that has one.
    ///
    /// Copies no event: this is done for each record that is written.
    static func forEachID(in payload: [UInt8], _ body: (ArraySlice<UInt8>) -> Void) {
        var reader = PayloadReader(bytes: payload)
        guard header(from: &reader) != nil, let count = reader.integer(UInt32.self) else { return }
        for _ in 0..<count {
            guard reader.skip(eventHeadBytes) else { return }
            for position in 0..<slicesPerEvent {
                guard let bytes = reader.bytesOfSlice() else { return }
                if position == positionOfID { body(bytes) }
            }
        }
        guard let refused = reader.integer(UInt32.self) else { return }
        for _ in 0..<refused {
            guard let rejection = rejection(from: &reader) else { return }
            if let id = rejection.id { body(Array(id.utf8)[...]) }
        }
    }

    /// What a record says of its submission as a whole.
    private struct Header {
        let isAtomic: Bool
        let receivedAt: Int64
        let bytes: Int64
        let aborted: UInt32
        let requestID: String
        let sender: Int64
        let route: AccountRoute
        let isStrict: Bool
        let defaultSource: String?
        let trace: String?

        func submission(of arena: EventArena, _ events: [PreparedEvent]) -> Submission {
            var submission = Submission(
                arena: arena,
                events: events,
                rejections: arena.rejections,
                requestID: RequestID(requestID),
                receivedAt: receivedAt,
                bytes: Int(bytes),
                sender: sender == noSender ? nil : sender,
                trace: trace
            )
            submission.decoding = DecodingMode(isStrict: isStrict, defaultSource: defaultSource)
            submission.route = route
            submission.isAtomic = isAtomic
            submission.aborted = Int(aborted)
            return submission
        }
    }

    private static func header(from reader: inout PayloadReader) -> Header? {
        guard reader.integer(UInt8.self) == version, let atomic = reader.integer(UInt8.self),
            let receivedAt = reader.integer(Int64.self), let bytes = reader.integer(Int64.self),
            let aborted = reader.integer(UInt32.self), let requestID = reader.text(),
            let sender = reader.integer(Int64.self),
            let route = reader.text().flatMap({ AccountRoute(rawValue: $0) }),
            let strict = reader.integer(UInt8.self), let defaultSource = reader.optional(),
            let trace = reader.optional()
        else { return nil }
        return Header(
            isAtomic: atomic == 1,
            receivedAt: receivedAt,
            bytes: bytes,
            aborted: aborted,
            requestID: requestID,
            sender: sender,
            route: route,
            isStrict: strict == 1,
            defaultSource: defaultSource,
            trace: trace
        )
    }

    private static func event(
        from reader: inout PayloadReader,
        into arena: inout EventArena
    ) -> PreparedEvent? {
        guard let raw = reader.integer(UInt8.self), let high = reader.integer(UInt64.self),
            let low = reader.integer(UInt64.self), let ts = reader.integer(Int64.self),
            let index = reader.integer(Int32.self), let rawBytes = reader.integer(Int32.self)
        else { return nil }
        let flags = Flags(rawValue: raw)
        let key = UInt128(high) << 64 | UInt128(low)
        var record = EventRecord(index: index, rawBytes: rawBytes)
        var slices: [Slice] = []
        for _ in 0..<slicesPerEvent {
            guard let slice = reader.slice(into: &arena.bytes) else { return nil }
            slices.append(slice)
        }
        record.type = slices[0]
        record.source = slices[1]
        record.subject = slices[2]
        record.id = slices[3]
        record.attributes = slices[4]
        record.data = slices[5]
        record.dataBytes = slices[6]
        record.time = flags.contains(.hasTime) ? ts : nil
        record.idIsGenerated = flags.contains(.isFresh)
        record.uuid = record.idIsGenerated ? key : 0
        arena.records.append(record)
        return PreparedEvent(
            record: arena.records.count - 1,
            key: key,
            ts: ts,
            isUndated: flags.contains(.isUndated),
            isFresh: flags.contains(.isFresh)
        )
    }

    private static func rejection(from reader: inout PayloadReader) -> Rejection? {
        guard let index = reader.integer(Int32.self),
            let code = reader.text().flatMap({ RejectCode(rawValue: $0) }), let pointer = reader.text(),
            let detail = reader.text(), let id = reader.optional(), let raw = reader.blob()
        else { return nil }
        return Rejection(
            index: index,
            code: code,
            pointer: pointer,
            detail: detail,
            id: id,
            raw: raw
        )
    }
}

/// Takes values from the front of a payload; `nil` where there are not enough bytes.
private struct PayloadReader {
    let bytes: [UInt8]
    private var offset = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { offset == bytes.count }

    mutating func integer<Value: FixedWidthInteger>(_ type: Value.Type) -> Value? {
        let count = Value.bitWidth / 8
        guard offset + count <= bytes.count else { return nil }
        var value: Value = 0
        for index in (0..<count).reversed() {
            value = (count > 1 ? value << 8 : 0) | Value(truncatingIfNeeded: bytes[offset + index])
        }
        offset += count
        return value
    }

    mutating func blob() -> [UInt8]? {
        guard let count = integer(UInt32.self), offset + Int(count) <= bytes.count else { return nil }
        defer { offset += Int(count) }
        return Array(bytes[offset..<offset + Int(count)])
    }

    mutating func text() -> String? { blob().map { String(decoding: $0, as: UTF8.self) } }

    /// A text or none; `nil` when there are not enough bytes for either.
    mutating func optional() -> String?? {
        guard let isThere = integer(UInt8.self) else { return nil }
        if isThere == 0 { return .some(nil) }
        return text().map { .some($0) }
    }

    /// Copies a slice's bytes to the end of `arena`.
    mutating func slice(into arena: inout [UInt8]) -> Slice? {
        guard let count = integer(Int32.self) else { return nil }
        if count < 0 { return .absent }
        guard offset + Int(count) <= bytes.count else { return nil }
        let slice = Slice(offset: Int32(arena.count), count: count)
        arena.append(contentsOf: bytes[offset..<offset + Int(count)])
        offset += Int(count)
        return slice
    }

    /// A slice's bytes, none where it is absent.
    mutating func bytesOfSlice() -> ArraySlice<UInt8>? {
        guard let count = integer(Int32.self) else { return nil }
        let start = offset
        return skip(max(0, Int(count))) ? bytes[start..<offset] : nil
    }

    /// Passes over so many bytes; `false` when there are fewer.
    mutating func skip(_ count: Int) -> Bool {
        guard offset + count <= bytes.count else { return false }
        offset += count
        return true
    }
}

extension [UInt8] {
    fileprivate mutating func replace(at offset: Int, littleEndian value: UInt32) {
        for index in 0..<4 { self[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
    }

    fileprivate mutating func append(blob: some Collection<UInt8>) {
        append(littleEndian: UInt32(blob.count))
        append(contentsOf: blob)
    }

    fileprivate mutating func append(optional text: String?) {
        append(text == nil ? 0 : 1)
        if let text { append(text: text) }
    }

    fileprivate mutating func append(text: String) { append(blob: text.utf8) }
}
