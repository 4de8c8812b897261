import Reactor

/// Reads records back in order, over segments and damage.
struct SpoolReader {
    private let disk: any SpoolDisk
    private let limits: SpoolLimits
    /// The sequence that is read next.
    private(set) var next: UInt64
    private var open: (name: SegmentName, scanner: SegmentScanner)?
    /// Why the last read could not go on.
    private(set) var failure: SystemError?
    /// Damage that was met.
    private(set) var damages = 0
    /// Segments that it was met in.
    private(set) var damaged: [SegmentName] = []

    init(disk: any SpoolDisk, limits: SpoolLimits, next: UInt64) {
        self.disk = disk
        self.limits = limits
        self.next = next
    }

    /// Begins again at `position`.
    mutating func rewind(to position: UInt64) {
        next = position
        open = nil
    }

    /// The records behind those that were read last; `nil` when there are none.
    ///
    /// Stops before a record with another mark than those before it, and at `below`.
    mutating func read(
        _ state: SpoolState,
        bytesMax: Int,
        eventsMax: Int,
        below: UInt64 = .max
    ) -> SpoolBatch? {
        let from = next
        failure = nil
        var records: [SpooledRecord] = []
        var bytes = 0
        var events = 0
        while next < below, bytes < bytesMax, events < eventsMax,
            let (segment, limit, isLast) = state.segment(holding: next)
        {
            guard openSegment(segment) else { break }
            guard let record = step(segment, limit: min(limit, below)) else {
                if isLast { break }
                continue
            }
            if let first = records.first, first.mark != record.mark {
                rewind(to: record.sequence)
                break
            }
            records.append(record)
            bytes += record.payload.count
            events += record.events
        }
        return next == from ? nil : SpoolBatch(from: from, to: next, records: records)
    }

    /// The next record of the open segment; `nil` at its end, `next` being behind it.
    private mutating func step(_ segment: SpoolState.Segment, limit: UInt64) -> SpooledRecord? {
        guard var scanner = open?.scanner else { return nil }
        let name = segment.name
        open = nil
        var isAhead = false
        defer { if !isAhead { open = (name, scanner) } }
        scanner.extend(to: segment.end)
        while true {
            switch scanner.next() {
            case .record(let record):
                if record.sequence < next { continue }
                if record.sequence >= limit {
                    // What is between is lost, and this one is not asked for yet.
                    isAhead = true
                    next = limit
                    return nil
                }
                next = record.sequence + 1
                return record
            case .damage:
                if next < segment.uncertain { note(name) }
            case .end:
                // All that was acknowledged and is not here is lost.
                if scanner.offset < segment.end || next < segment.next { note(name) }
                next = limit
                return nil
            }
        }
    }

    /// Makes the segment the open one.
    ///
    /// `false` when the disk does not let it, which says nothing of its records.
    private mutating func openSegment(_ segment: SpoolState.Segment) -> Bool {
        if open?.name == segment.name { return true }
        open = nil
        do throws(SystemError) {
            let file = try disk.open("\(segment.name)")
            open = (
                segment.name,
                SegmentScanner(file, segment.name, end: segment.end, limit: .max, limits: limits)
            )
            return true
        } catch {
            failure = error
            return false
        }
    }

    private mutating func note(_ name: SegmentName) {
        damages += 1
        if !damaged.contains(name) { damaged.append(name) }
    }
}
