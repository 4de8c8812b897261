/// In which records an event may be, by a fingerprint of its identifier.
///
/// Eight bytes an event, in the order in which they were appended, in a list for each segment that is
/// forgotten with it: draining costs nothing, and looking for one is a walk over all. What a payload's
/// fingerprints are is its writer's business; different events may have the same one, so whoever looks reads
/// the records and compares.
struct SpoolIndex: Sendable {
    /// Where a record begins.
    struct Place: Equatable, Sendable {
        /// The segment's ``SegmentName/index``.
        let segment: UInt32
        let offset: Int
    }

    private struct Section {
        let segment: UInt32
        /// The fingerprint, and below it the record's offset in units of its alignment.
        var entries: [UInt64] = []
        /// Whether all of the segment's events are here.
        var isWhole = true
    }

    private let entriesMax: Int
    /// In the order of the segments.
    private var sections: [Section] = []
    private var count = 0

    init(entriesMax: Int) { self.entriesMax = entriesMax }

    /// Whether what is not found here is nowhere.
    var isWhole: Bool { sections.allSatisfy(\.isWhole) }

    /// A record was appended at `place`; the segments come in order.
    mutating func add(_ fingerprints: [UInt32], at place: Place) {
        if sections.last?.segment != place.segment { sections.append(Section(segment: place.segment)) }
        let last = sections.count - 1
        if count + fingerprints.count > entriesMax {
            sections[last].isWhole = false
            return
        }
        let low = UInt64(place.offset / RecordHeader.alignment)
        for fingerprint in fingerprints { sections[last].entries.append(UInt64(fingerprint) << 32 | low) }
        count += fingerprints.count
    }

    /// The segment is gone.
    mutating func forget(segment: UInt32) {
        for section in sections where section.segment == segment { count -= section.entries.count }
        sections.removeAll { $0.segment == segment }
    }

    /// The records that have the fingerprint, the newest first, each once.
    func places(of fingerprint: UInt32) -> [Place] {
        var places: [Place] = []
        for section in sections.reversed() {
            for entry in section.entries.reversed() where entry >> 32 == UInt64(fingerprint) {
                let offset = Int(UInt32(truncatingIfNeeded: entry)) * RecordHeader.alignment
                let place = Place(segment: section.segment, offset: offset)
                if places.last != place { places.append(place) }
            }
        }
        return places
    }
}
