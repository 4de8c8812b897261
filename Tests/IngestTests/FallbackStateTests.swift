import Testing

@testable import Ingest

@Suite struct `Fallback state` {
    /// Whether the next flush goes straight to the dedup path.
    private static func next(_ state: inout FallbackState) -> Bool { state.prefersDeduplication }

    @Test func `stays optimistic while three of the last hundred flushes fell back`() {
        var state = FallbackState()
        for round in 0..<1_000 {
            let isStraight = Self.next(&state)
            #expect(!isStraight, "round \(round)")
            if round % 34 == 0 { state.fellBack() } else { state.succeeded() }
        }
    }

    @Test
    func `goes straight to the dedup path for a hundred flushes after the fourth, and then tries again`() {
        var state = FallbackState()
        for _ in 0..<3 { state.fellBack() }
        let before = Self.next(&state)
        #expect(!before)

        state.fellBack()

        let straight = (0..<101).map { _ in Self.next(&state) }
        #expect(straight == [Bool](repeating: true, count: 100) + [false])
        for _ in 0..<3 { state.fellBack() }
        let after = Self.next(&state)
        #expect(!after, "what came before has been forgotten")
    }

    @Test func `forgets fallbacks that are a hundred flushes old`() {
        var state = FallbackState()
        for _ in 0..<3 { state.fellBack() }
        for _ in 0..<100 { state.succeeded() }
        for _ in 0..<3 { state.fellBack() }

        let isStraight = Self.next(&state)
        #expect(!isStraight)
    }
}
