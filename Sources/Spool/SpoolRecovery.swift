import Reactor

/// What was found when a spool was opened.
package struct SpoolReport: Equatable, Sendable {
    /// Records and events that are there to be drained.
    package var records = 0
    package var events = 0
    /// Places at which something else was found than the next record, records behind it all the same.
    package var damages = 0
    package var damagedBytes = 0
    /// Sequences that were given out and are not there any more.
    package var recordsLost = 0
    /// Ends of segments that were being written when the process or the machine died.
    package var tornTails = 0
}

/// Brings a spool back to order when it is opened, by reading all of it.
struct SpoolRecovery {
    private let disk: any SpoolDisk
    private let limits: SpoolLimits
    private let fingerprints: SpoolFingerprints
    private var finder: SpoolFinder
    private var report = SpoolReport()
    private var marks: [UInt64: UInt64] = [:]
    private var position: UInt64 = 0

    struct Outcome: Sendable {
        var state: SpoolState
        var cursor: SpoolCursor
        var cursorFile: any SpoolFile
        var finder: SpoolFinder
        var withheld: WithheldRecords
        var report: SpoolReport
    }

    /// Reads the folder and makes it what it says it is; the new generation is durable afterwards.
    static func run(
        on disk: any SpoolDisk,
        limits: SpoolLimits,
        fingerprints: @escaping SpoolFingerprints
    ) throws(SystemError) -> Outcome {
        var recovery = SpoolRecovery(disk: disk, limits: limits, fingerprints: fingerprints)
        return try recovery.run()
    }

    private init(disk: any SpoolDisk, limits: SpoolLimits, fingerprints: @escaping SpoolFingerprints) {
        self.disk = disk
        self.limits = limits
        self.fingerprints = fingerprints
        finder = SpoolFinder(disk: disk, limits: limits, fingerprints: fingerprints)
    }

    private mutating func run() throws(SystemError) -> Outcome {
        let names = try disk.names()
        let found = names.compactMap { SegmentName($0) }.sorted { $0.index < $1.index }
        let (cursorFile, old) = try openCursor(names)
        var cursor = old
        position = cursor.position
        let latest = UInt32(truncatingIfNeeded: (found.last?.first ?? 0) >> 32)
        cursor.generation = max(cursor.generation, latest) + 1
        cursor.version += 1

        var kept: [SpoolState.Segment] = []
        for (index, name) in found.enumerated() {
            let next = index + 1 < found.count ? found[index + 1] : nil
            if let segment = try readSegment(name, followedBy: next) { kept.append(segment) }
        }
        // Durable before any sequence of the generation is given out.
        try cursorFile.write(cursor.bytes, at: cursor.slotOffset)
        try cursorFile.synchronize()
        let hasSpare = try keepsSpare(names)
        let withheld = try WithheldRecords.recover(
            on: disk,
            limits: limits,
            fingerprints: fingerprints,
            position: position
        )
        report.damages += withheld.damages
        report.recordsLost += withheld.damages
        let aside = try tidyAside()
        try disk.synchronize()
        let state = SpoolState(
            limits: limits,
            segments: kept,
            hasSpare: hasSpare,
            next: cursor.firstSequence,
            position: position,
            pendingEvents: report.events,
            asideBytes: aside,
            nextIndex: (found.last?.index ?? 0) + 1,
            marks: marks
        )
        return Outcome(
            state: state,
            cursor: cursor,
            cursorFile: cursorFile,
            finder: finder,
            withheld: withheld.records,
            report: report
        )
    }

    // MARK: The cursor

    private func openCursor(_ names: [String]) throws(SystemError) -> (any SpoolFile, SpoolCursor) {
        var file: (any SpoolFile)?
        if names.contains(SpoolNames.cursor) {
            let opened = try disk.open(SpoolNames.cursor)
            let bytes = try opened.read(at: 0, count: SpoolCursor.fileBytes)
            if let cursor = SpoolCursor.read(bytes) { return (opened, cursor) }
            file = opened
        }
        // The first start, or nothing is left of it: who this spool was is not known any more, and the
        // database is told so by a new identity.
        let made: any SpoolFile
        if let file { made = file } else { made = try disk.create(SpoolNames.cursor) }
        try made.write([UInt8](repeating: 0, count: SpoolCursor.fileBytes), at: 0)
        var dice = Dice()
        let cursor = SpoolCursor(
            identity: .random(in: 1 ... .max, using: &dice),
            generation: 0,
            position: 0,
            version: 0
        )
        return (made, cursor)
    }

    // MARK: Segments

    /// Reads one segment; `nil` when nothing in it is needed any more, and then it is gone.
    private mutating func readSegment(
        _ name: SegmentName,
        followedBy next: SegmentName?
    ) throws(SystemError) -> SpoolState.Segment? {
        let file = try disk.open("\(name)")
        let size = try file.size()
        var scanner = SegmentScanner(file, name, end: size, limit: next?.first ?? .max, limits: limits)
        var segment = SpoolState.Segment(name: name, fileBytes: size, end: 0, next: name.first)
        var gaps: [Gap] = []
        var bytes = 0
        var group = name.first
        scan: while true {
            switch scanner.next() {
            case .record(let record):
                if record.sequence > segment.next || bytes > 0 {
                    gaps.append(Gap(from: segment.next, to: record.sequence, bytes: bytes))
                    bytes = 0
                }
                segment.next = record.sequence + 1
                segment.end = scanner.offset
                group = record.sequence - UInt64(record.groupIndex)
                let start = scanner.offset - RecordHeader.recordBytes(payload: record.payload.count)
                note(record, in: name, at: start)
            case .damage(let count): bytes += count
            case .end(let remains):
                let end = End(hasRemains: remains, group: group, next: next)
                try judge(&segment, gaps, end, file)
                break scan
            }
        }
        if scanner.unreadableBytes > 0 { segment.isDamaged = true }
        return try keep(segment)
    }

    private mutating func note(_ record: SpooledRecord, in segment: SegmentName, at offset: Int) {
        if record.sequence < position { return }
        finder.note(record.payload, in: segment, at: offset)
        report.records += 1
        report.events += record.events
        if record.mark != 0 { marks[record.mark] = record.sequence + 1 }
    }

    /// Bytes that are no record, and the sequences that should be there.
    private struct Gap {
        var from: UInt64
        var to: UInt64
        var bytes: Int
    }

    private struct End {
        /// Whether anything but zeros comes behind the last record.
        var hasRemains: Bool
        /// The first sequence of the last record's group.
        var group: UInt64
        /// The segment after this one.
        var next: SegmentName?
    }

    /// Tells damage from what a crash may leave: a part of the last group, which nobody was told is durable.
    private mutating func judge(
        _ segment: inout SpoolState.Segment,
        _ gaps: [Gap],
        _ end: End,
        _ file: any SpoolFile
    ) throws(SystemError) {
        var gaps = gaps
        if let next = end.next, next.first >> 32 == segment.next >> 32 {
            // Written to the end of its turn: what is behind its last record was never acknowledged, and what
            // is missing before the next segment was.
            if next.first > segment.next { gaps.append(Gap(from: segment.next, to: next.first, bytes: 0)) }
        } else {
            segment.uncertain = end.group
            if end.hasRemains { report.tornTails += 1 }
        }
        if end.next == nil, segment.end < segment.fileBytes {
            // Nothing is appended to it any more: what it does not need goes back to the disk.
            try file.truncate(to: segment.end)
            try file.synchronize()
            segment.fileBytes = segment.end
        }
        for gap in gaps {
            if gap.from >= segment.uncertain {
                report.tornTails += 1
                continue
            }
            report.damages += 1
            report.damagedBytes += gap.bytes
            segment.isDamaged = true
            let lost = max(gap.from, position)
            if lost < gap.to { report.recordsLost += Int(gap.to - lost) }
        }
    }

    private func keep(_ segment: SpoolState.Segment) throws(SystemError) -> SpoolState.Segment? {
        let name = "\(segment.name)"
        if segment.next > position, segment.end > 0 { return segment }
        if segment.isDamaged {
            try disk.rename(name, to: segment.name.aside)
        } else {
            try disk.remove(name)
        }
        return nil
    }

    // MARK: The rest

    /// Keeps a spare that was finished; another one is made again.
    private func keepsSpare(_ names: [String]) throws(SystemError) -> Bool {
        guard names.contains(SpoolNames.spare) else { return false }
        if try disk.open(SpoolNames.spare).size() == limits.segmentBytes { return true }
        try disk.remove(SpoolNames.spare)
        return false
    }

    /// Removes the oldest of the damaged segments that are kept when they are too many; returns the bytes of
    /// those that stay.
    private func tidyAside() throws(SystemError) -> Int {
        let aside = try disk.names().filter { $0.hasSuffix(SpoolNames.asideEnding) }.sorted()
        for name in aside.dropLast(limits.keptAsideMax) { try disk.remove(name) }
        var bytes = 0
        for name in aside.suffix(limits.keptAsideMax) { bytes += try disk.open(name).size() }
        return bytes
    }
}
