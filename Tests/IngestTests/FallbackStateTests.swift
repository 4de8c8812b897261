import TestSupport
import Testing

@testable import Ingest

@Suite struct `Fallback state` {
    @Test func `stays optimistic while three of the last hundred flushes fell back`() {
        var state = FallbackState()
        for round in 0..<1_000 {
            #expect(!state.prefersDeduplication)
            if round % 34 == 0, round % 100 < 99 { state.fellBack() } else { state.succeeded() }
        }
    }

    @Test func `goes straight to the dedup path for a hundred flushes after the fourth, and then tries again`() {
        var state = FallbackState()
        for _ in 0..<3 { state.fellBack() }
        #expect(!state.prefersDeduplication)

        state.fellBack()

        for _ in 0..<100 { #expect(state.prefersDeduplication) }
        #expect(!state.prefersDeduplication)
        for _ in 0..<3 { state.fellBack() }
        #expect(!state.prefersDeduplication, "what came before has been forgotten")
    }

    @Test func `forgets fallbacks that are a hundred flushes old`() {
        var state = FallbackState()
        for _ in 0..<3 { state.fellBack() }
        for _ in 0..<100 { state.succeeded() }
        for _ in 0..<3 { state.fellBack() }

        #expect(!state.prefersDeduplication)
    }
}
