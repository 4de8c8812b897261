import Reactor

/// The fingerprints of the events in a payload, by which its record is found; none for what is none.
package typealias SpoolFingerprints = @Sendable (_ payload: [UInt8]) -> [UInt32]

/// What came of looking for an event in a spool.
package enum SpoolSearch<Found: Sendable>: Sendable {
    case found(Found)
    /// It is in no record that has not been drained.
    case absent
    /// It may be in one: the spool holds more events than it can look up, or the disk did not let it.
    case unknown
}

extension SpoolSearch: Equatable where Found: Equatable {}

/// Finds the record that an event is in, and reads it again.
struct SpoolFinder: Sendable {
    private let disk: any SpoolDisk
    private let limits: SpoolLimits
    private let fingerprints: SpoolFingerprints
    private var index: SpoolIndex

    init(disk: any SpoolDisk, limits: SpoolLimits, fingerprints: @escaping SpoolFingerprints) {
        self.disk = disk
        self.limits = limits
        self.fingerprints = fingerprints
        index = SpoolIndex(entriesMax: limits.indexedEventsMax)
    }

    /// A record with this payload begins at `offset` of the segment; the segments come in order.
    mutating func note(_ payload: [UInt8], in segment: SegmentName, at offset: Int) {
        index.add(fingerprints(payload), at: SpoolIndex.Place(segment: segment.index, offset: offset))
    }

    /// The segment is gone.
    mutating func forget(_ segment: SegmentName) { index.forget(segment: segment.index) }

    /// What `look` finds in the newest record with this fingerprint in which it finds anything.
    ///
    /// Records that have been drained are not looked at.
    func search<Found>(
        _ fingerprint: UInt32,
        in state: SpoolState,
        _ look: @Sendable ([UInt8]) -> Found?
    ) -> SpoolSearch<Found> {
        let places = index.places(of: fingerprint)
        var isSure = index.isWhole && places.count <= limits.searchedRecordsMax
        for place in places.prefix(limits.searchedRecordsMax) {
            guard let segment = state.segments.first(where: { $0.name.index == place.segment }),
                let record = record(in: segment.name, at: place.offset)
            else {
                isSure = false
                continue
            }
            if record.sequence < state.position { continue }
            if let found = look(record.payload) { return .found(found) }
        }
        return isSure ? .absent : .unknown
    }

    /// The record at `offset`; `nil` when it is damaged or the disk does not give it.
    private func record(in name: SegmentName, at offset: Int) -> SpooledRecord? {
        do throws(SystemError) {
            let file = try disk.open("\(name)")
            return try SpooledRecord.read(file, at: offset, salt: name.salt, limits)
        } catch {
            return nil
        }
    }
}
