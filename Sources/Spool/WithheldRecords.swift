import Reactor

/// Records that their reader could not store elsewhere and wants out of the way of those behind them.
///
/// Each is in a file of its own, named by its sequence, until it is stored after all. A file is durable
/// before the reader goes on behind its record, so at any moment the record is in a segment that is still to
/// be read, or here, or both; whoever meets it in a segment asks whether it is here.
struct WithheldRecords: Sendable {
    private struct Facts: Sendable {
        let events: Int
        let mark: UInt64
        let bytes: Int
        let fingerprints: Set<UInt32>
    }

    /// What was found at a start.
    struct Found: Sendable {
        var records: WithheldRecords
        /// Files of records that were drained from their segments and cannot be read.
        var damages = 0
    }

    private let disk: any SpoolDisk
    private let limits: SpoolLimits
    private let fingerprints: SpoolFingerprints
    private var facts: [UInt64: Facts] = [:]

    /// Seeds the sums: the files have no salt of their own, as nothing is looked for in them.
    private static let salt: UInt32 = 0

    init(disk: any SpoolDisk, limits: SpoolLimits, fingerprints: @escaping SpoolFingerprints) {
        self.disk = disk
        self.limits = limits
        self.fingerprints = fingerprints
    }

    /// Finds what an earlier process has withheld of a spool that was drained up to `position`.
    static func recover(
        on disk: any SpoolDisk,
        limits: SpoolLimits,
        fingerprints: @escaping SpoolFingerprints,
        position: UInt64
    ) throws(SystemError) -> Found {
        var found = Found(
            records: WithheldRecords(disk: disk, limits: limits, fingerprints: fingerprints)
        )
        for name in try disk.names() {
            guard let sequence = SpoolNames.withheldSequence(name) else { continue }
            if let record = try found.records.read(sequence) {
                found.records.note(record)
            } else if sequence >= position {
                // It was being written when the process died, and its segment still has it.
                try disk.remove(name)
            } else {
                try disk.rename(name, to: name + SpoolNames.asideEnding)
                found.damages += 1
            }
        }
        return found
    }

    /// In the order in which they were appended.
    var sequences: [UInt64] { facts.keys.sorted() }
    var events: Int { facts.values.reduce(0) { $0 + $1.events } }
    var bytes: Int { facts.values.reduce(0) { $0 + $1.bytes } }
    var marks: Set<UInt64> { Set(facts.values.map(\.mark).filter { $0 != 0 }) }

    /// Keeps the record; it is durable afterwards.
    ///
    /// - Throws: ``SpoolError/full`` when there are too many already.
    mutating func add(_ record: SpooledRecord) throws(SpoolError) {
        if facts[record.sequence] != nil { return }
        if facts.count >= limits.withheldRecordsMax { throw .full }
        let entry = SpoolEntry(payload: record.payload, events: record.events, mark: record.mark)
        var bytes: [UInt8] = []
        RecordHeader.append(entry, sequence: record.sequence, groupIndex: 0, salt: Self.salt, to: &bytes)
        do throws(SystemError) {
            let name = SpoolNames.withheld(record.sequence)
            if try disk.names().contains(name) { try disk.remove(name) }
            let file = try disk.create(name)
            try file.write(bytes, at: 0)
            try file.synchronize()
            try disk.synchronize()
        } catch {
            throw .failed(error)
        }
        note(record)
    }

    /// The record; `nil` when the disk does not give it back.
    func record(_ sequence: UInt64) -> SpooledRecord? {
        do throws(SystemError) { return try read(sequence) } catch { return nil }
    }

    /// Forgets the record, which is safe elsewhere.
    mutating func remove(_ sequence: UInt64) throws(SystemError) {
        if facts.removeValue(forKey: sequence) == nil { return }
        try disk.remove(SpoolNames.withheld(sequence))
        try disk.synchronize()
    }

    /// What `look` finds in the newest record with this fingerprint in which it finds anything.
    func search<Found>(_ fingerprint: UInt32, _ look: ([UInt8]) -> Found?) -> SpoolSearch<Found> {
        for sequence in sequences.reversed() {
            guard facts[sequence]?.fingerprints.contains(fingerprint) == true else { continue }
            guard let record = record(sequence) else { return .unknown }
            if let found = look(record.payload) { return .found(found) }
        }
        return .absent
    }

    private func read(_ sequence: UInt64) throws(SystemError) -> SpooledRecord? {
        let file = try disk.open(SpoolNames.withheld(sequence))
        let record = try SpooledRecord.read(file, at: 0, salt: Self.salt, limits)
        return record?.sequence == sequence ? record : nil
    }

    private mutating func note(_ record: SpooledRecord) {
        facts[record.sequence] = Facts(
            events: record.events,
            mark: record.mark,
            bytes: RecordHeader.recordBytes(payload: record.payload.count),
            fingerprints: Set(fingerprints(record.payload))
        )
    }
}
