/// Decides where records go, when a segment is made, kept or removed, and what is full.
///
/// Holds no file, clock or task. Each method takes what happened; ``Spool`` does what it answers.
///
/// A segment goes
///
///     spare ─→ active ─→ sealed ─→ removed, or kept aside when it was found damaged
///
/// Only the active one is written to, and an error of the disk seals it for good: after a failed
/// fdatasync(2) the kernel forgets what it could not write, and a later success on the same file says
/// nothing. The records of that attempt were not acknowledged, and their sequences are given out again, in
/// the next segment, whose name ends what counts of this one. What was recovered at the start is sealed too.
struct SpoolState: Sendable {
    struct Segment: Equatable, Sendable {
        let name: SegmentName
        /// What its file takes on the disk.
        var fileBytes: Int
        /// One past the last durable record's bytes.
        var end: Int
        /// One past the last durable record's sequence.
        var next: UInt64
        /// Records from here on may be what a crash left of a group that was not acknowledged.
        var uncertain: UInt64 = .max
        var isDamaged = false
    }

    /// The segment that comes after the active one.
    enum Spare: Equatable, Sendable {
        case none
        case making
        case ready
        /// The disk refused it; to making, when the pause is over.
        case refused
    }

    enum Placement: Equatable, Sendable {
        /// Into the active segment, from this byte on.
        case write(at: Int)
        /// The spare becomes the active segment under this name; then ask again.
        case roll(to: SegmentName)
        /// The spare is being made; ask again when it is.
        case wait
        case refuse
    }

    enum Removal: Equatable, Sendable {
        case remove(SegmentName)
        case keepAside(SegmentName)

        var name: SegmentName {
            switch self {
            case .remove(let name), .keepAside(let name): name
            }
        }
    }

    private let limits: SpoolLimits
    /// In order; the last one is active if any is.
    private(set) var segments: [Segment]
    private(set) var isActive = false
    private(set) var spare: Spare
    /// The sequence of the next record.
    private(set) var next: UInt64
    /// One past the last sequence that has been drained.
    private(set) var position: UInt64
    /// Events that have not been drained.
    private(set) var pendingEvents: Int
    /// What damaged segments that are kept take on the disk.
    private(set) var asideBytes: Int
    private var nextIndex: UInt32
    /// Marks of attempts whose outcome is unknown, and one past the last sequence with each.
    private var marks: [UInt64: UInt64]

    init(
        limits: SpoolLimits,
        segments: [Segment] = [],
        hasSpare: Bool = false,
        next: UInt64,
        position: UInt64 = 0,
        pendingEvents: Int = 0,
        asideBytes: Int = 0,
        nextIndex: UInt32 = 1,
        marks: [UInt64: UInt64] = [:]
    ) {
        self.limits = limits
        self.segments = segments
        spare = hasSpare ? .ready : .none
        self.next = next
        self.position = position
        self.pendingEvents = pendingEvents
        self.asideBytes = asideBytes
        self.nextIndex = nextIndex
        self.marks = marks
    }

    // MARK: Room

    /// What all files take on the disk.
    var bytes: Int {
        segments.reduce(asideBytes) { $0 + $1.fileBytes }
            + (spare == .ready || spare == .making ? limits.segmentBytes : 0)
    }

    /// Bytes of records that will still find a place.
    var room: Int {
        let active = isActive ? limits.segmentBytes - (segments.last?.end ?? 0) : 0
        switch spare {
        // A disk that refused a segment is full, whatever the limits say.
        case .refused: return active
        case .none: return active + unmade * limits.segmentBytes
        case .making, .ready: return active + (1 + unmade) * limits.segmentBytes
        }
    }

    /// Segments that the limit leaves room for.
    private var unmade: Int { max(0, (limits.bytesMax - bytes) / limits.segmentBytes) }

    var isFull: Bool { room < limits.roomBytesMin }

    var hasPending: Bool { position < next && !segments.isEmpty }

    // MARK: Appending

    /// Where `bytes` of records go.
    func place(_ bytes: Int, salt: UInt32) -> Placement {
        precondition(bytes <= limits.segmentBytes, "a group fits a segment")
        if isActive, let active = segments.last, active.end + bytes <= limits.segmentBytes {
            return .write(at: active.end)
        }
        switch spare {
        case .ready: return .roll(to: SegmentName(index: nextIndex, first: next, salt: salt))
        case .making: return .wait
        case .none: return unmade > 0 ? .wait : .refuse
        case .refused: return .refuse
        }
    }

    /// The spare is durable under `name`.
    mutating func activated(_ name: SegmentName) {
        precondition(spare == .ready, "only a spare becomes a segment")
        spare = .none
        nextIndex = name.index + 1
        segments.append(Segment(name: name, fileBytes: limits.segmentBytes, end: 0, next: name.first))
        isActive = true
    }

    /// The spare may have this name or not: it is given up, and the name with it.
    ///
    /// So is the active segment: where the name is there, it ends what counts of the segment before.
    mutating func activationFailed(_ name: SegmentName) {
        spare = .refused
        isActive = false
        nextIndex = name.index + 1
        // Its file counts until a start looks at it again.
        asideBytes += limits.segmentBytes
    }

    /// A group is durable in the active segment.
    mutating func committed(bytes: Int, entries: some Collection<SpoolEntry>) {
        precondition(isActive, "records go into the active segment")
        next += UInt64(entries.count)
        segments[segments.count - 1].end += bytes
        segments[segments.count - 1].next = next
        for entry in entries {
            pendingEvents += entry.events
            if entry.mark != 0 { marks[entry.mark] = next }
        }
    }

    /// Writing or syncing the active segment failed: it is never written to again.
    mutating func poisoned() { isActive = false }

    // MARK: The spare

    /// Whether a spare is to be made now.
    mutating func beginsSpare() -> Bool {
        guard spare == .none, unmade > 0 else { return false }
        spare = .making
        return true
    }

    mutating func spareMade() {
        if spare == .making { spare = .ready }
    }

    mutating func spareRefused() {
        if spare == .making { spare = .refused }
    }

    /// The pause after a refusal is over.
    mutating func retries() {
        if spare == .refused { spare = .none }
    }

    /// The marks of records that have not been drained.
    var pendingMarks: Set<UInt64> { Set(marks.keys) }

    // MARK: Draining

    /// The segment in which the record with this sequence is, or the first one behind it.
    func segment(holding sequence: UInt64) -> (segment: Segment, limit: UInt64, isLast: Bool)? {
        for (index, segment) in segments.enumerated() {
            let isLast = index == segments.count - 1
            let limit = isLast ? next : segments[index + 1].name.first
            if sequence < limit { return (segment, limit, isLast) }
        }
        return nil
    }

    /// All below `position` has been drained, `events` of them.
    ///
    /// Returns what is to become of the segments that are not needed any more, oldest first.
    mutating func drained(to position: UInt64, events: Int) -> [Removal] {
        precondition(position >= self.position && position <= next, "the position only goes on")
        self.position = position
        // Of what damage has taken nobody knows how many events it held.
        pendingEvents = position == next ? 0 : max(0, pendingEvents - events)
        marks = marks.filter { $0.value > position }
        var removals: [Removal] = []
        while let first = segments.first, first.next <= position, !(isActive && segments.count == 1) {
            segments.removeFirst()
            if first.isDamaged { asideBytes += first.fileBytes }
            removals.append(first.isDamaged ? .keepAside(first.name) : .remove(first.name))
        }
        return removals
    }

    /// Damage was found in a segment: it is kept aside later.
    mutating func damaged(_ name: SegmentName) {
        for index in segments.indices where segments[index].name == name { segments[index].isDamaged = true }
    }
}
