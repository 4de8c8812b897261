/// Decides when optimism does not pay: when more than 3 % of the last flushes met a conflict, the next
/// hundred go straight to the dedup path (storage: a scattered duplicate costs its whole batch a second try).
struct FallbackState: Sendable {
    private var window: [Bool] = []
    private var deduplicating = 0

    private static let windowFlushes = 100
    private static let fallbacksMax = 3

    /// Whether the next flush should not try; counts it.
    var prefersDeduplication: Bool {
        mutating get {
            if deduplicating == 0 { return false }
            deduplicating -= 1
            return true
        }
    }

    mutating func succeeded() { note(false) }
    mutating func fellBack() { note(true) }

    private mutating func note(_ fellBack: Bool) {
        window.append(fellBack)
        if window.count > Self.windowFlushes { window.removeFirst() }
        if window.count(where: { $0 }) > Self.fallbacksMax {
            deduplicating = Self.windowFlushes
            window = []
        }
    }
}
