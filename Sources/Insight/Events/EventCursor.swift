import Events

/// Where a page of events ended: its last event's place in the order of time.
struct EventCursor: Equatable, Sendable {
    /// Microseconds since 1970.
    let time: Int64
    let key: UInt128

    init(time: Int64, key: UInt128) {
        self.time = time
        self.key = key
    }

    /// Reads what ``text`` has written; `nil` for anything else.
    init?(text: String) {
        guard let place = CursorText.place(text, count: 24) else { return nil }
        time = Int64(truncatingIfNeeded: CursorText.integer(place[0..<8]))
        key = CursorText.integer(place[8..<24])
        guard Timestamp.range.contains(time) else { return nil }
    }

    /// 36 characters.
    var text: String { CursorText.text(CursorText.bytes(time) + CursorText.bytes(key)) }
}
