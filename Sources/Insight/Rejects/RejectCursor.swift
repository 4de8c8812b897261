import Events

/// Where a page of rejects ended: its last reject's place in the order of receipt.
struct RejectCursor: Equatable, Sendable {
    /// Microseconds since 1970.
    let receivedAt: Int64
    let n: Int64

    init(receivedAt: Int64, n: Int64) {
        self.receivedAt = receivedAt
        self.n = n
    }

    /// Reads what ``text`` has written; `nil` for anything else.
    init?(text: String) {
        guard let place = CursorText.place(text, count: 16) else { return nil }
        receivedAt = Int64(truncatingIfNeeded: CursorText.integer(place[0..<8]))
        n = Int64(truncatingIfNeeded: CursorText.integer(place[8..<16]))
        guard Timestamp.range.contains(receivedAt) else { return nil }
    }

    /// 24 characters.
    var text: String { CursorText.text(CursorText.bytes(receivedAt) + CursorText.bytes(n)) }
}
