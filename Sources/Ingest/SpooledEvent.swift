package import Events
package import Spool

/// What the spool knows of an event that the database may not have yet.
package struct SpooledEvent: Equatable, Sendable {
    package let id: String
    package let source: String
    package let type: String
    package let subject: String?
    /// Microseconds since 1970, as all times.
    package let time: Int64
    package let receivedAt: Int64

    init(_ event: PreparedEvent, of submission: Submission) {
        let arena = submission.arena
        let record = arena.records[event.record]
        func text(_ slice: Slice) -> String { String(decoding: arena.bytes[slice.range], as: UTF8.self) }
        id = text(record.id)
        source = text(record.source)
        type = text(record.type)
        subject = record.subject.isAbsent ? nil : text(record.subject)
        time = event.ts
        receivedAt = submission.receivedAt
    }
}

/// What became of an event that a receipt is asked for, as far as the spool knows.
package enum SpooledReceipt: Equatable, Sendable {
    case event(SpooledEvent)
    /// It was refused, which it will be in the database too.
    case rejection(Rejection, receivedAt: Int64)
    /// The spool does not hold it.
    case absent
    /// The spool holds more than it can look up, so it may be there.
    case unknown
}

/// Looks for events by their ids in what the spool keeps.
package enum SpooledEvents {
    /// By which ``Spool`` finds the records again: one for each event and each reject with an id.
    package static let fingerprints: SpoolFingerprints = { payload in
        var fingerprints: [UInt32] = []
        SubmissionCodec.forEachID(in: payload) { fingerprints.append(fingerprint(of: $0)) }
        return fingerprints
    }

    /// Swift's hash has a seed of this process's own: nobody can send ids that all have one fingerprint.
    private static func fingerprint(of id: some Sequence<UInt8>) -> UInt32 {
        var hasher = Hasher()
        var word: UInt64 = 0
        var count = 0
        for byte in id {
            word = word << 8 | UInt64(byte)
            count += 1
            if count % 8 == 0 { hasher.combine(word) }
        }
        hasher.combine(word)
        hasher.combine(count)
        return UInt32(truncatingIfNeeded: hasher.finalize())
    }

    /// The newest event with this id, and source where one is asked for; else a reject with the id.
    static func receipt(id: String, source: String?, in spool: Spool) async -> SpooledReceipt {
        var isSure = true
        for name in names(of: id) {
            let found = await spool.search(fingerprint(of: name.utf8)) { event(name, source, in: $0) }
            switch found {
            case .found(let event): return .event(event)
            case .absent: break
            case .unknown: isSure = false
            }
        }
        switch await spool.search(fingerprint(of: id.utf8), { rejection(id, in: $0) }) {
        case .found(let found): return found
        case .absent: break
        case .unknown: isSure = false
        }
        return isSure ? .absent : .unknown
    }

    /// The ids that a client may mean: an id that was made here is a UUID in whatever spelling.
    private static func names(of id: String) -> [String] {
        guard let uuid = parseUUID(Array(id.utf8).span) else { return [id] }
        let canonical = String(decoding: formatUUID(uuid), as: UTF8.self)
        return canonical == id ? [id] : [id, canonical]
    }

    private static func event(_ id: String, _ source: String?, in payload: [UInt8]) -> SpooledEvent? {
        guard let submission = SubmissionCodec.decode(payload) else { return nil }
        let events = submission.events.reversed().lazy.map { SpooledEvent($0, of: submission) }
        return events.first { $0.id == id && (source == nil || $0.source == source) }
    }

    private static func rejection(_ id: String, in payload: [UInt8]) -> SpooledReceipt? {
        guard let submission = SubmissionCodec.decode(payload) else { return nil }
        return submission.rejections.last { $0.id == id }
            .map { .rejection($0, receivedAt: submission.receivedAt) }
    }
}
