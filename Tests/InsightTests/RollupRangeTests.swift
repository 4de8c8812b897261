import TestSupport
import Testing

@testable import Insight

@Suite struct `A range of rollups` {
    private static let minute: Int64 = 60_000_000

    private func lengths(_ range: RollupRange) -> [Int64] { range.pieces.map(\.level.length) }

    @Test func `is days in the middle, and hours and minutes at its ends`() {
        let hour = 60 * Self.minute
        let day = 24 * hour
        let range = RollupRange(from: 2 * day - hour - Self.minute, to: 5 * day + 2 * hour + 7 * Self.minute)
        #expect(
            range.pieces == [
                .init(level: .minute, from: 2 * day - hour - Self.minute, to: 2 * day - hour),
                .init(level: .hour, from: 2 * day - hour, to: 2 * day),
                .init(level: .day, from: 2 * day, to: 5 * day),
                .init(level: .hour, from: 5 * day, to: 5 * day + 2 * hour),
                .init(level: .minute, from: 5 * day + 2 * hour, to: 5 * day + 2 * hour + 7 * Self.minute),
            ]
        )
        #expect(lengths(RollupRange(from: 0, to: 9 * day, step: hour)) == [hour])
        #expect(lengths(RollupRange(from: 0, to: 9 * day, step: 90 * Self.minute)) == [Self.minute])
        #expect(RollupRange(from: day, to: day).pieces.isEmpty)
    }

    @Test func `covers every minute once, each piece in whole units of its level`() {
        var random = SplitMix(seed: 9)
        let steps: [Int64] = [1, 5, 60, 90, 120, 1_440, 2_880, 10_080]
        for _ in 0..<20_000 {
            let from = Int64.random(in: -9_000...9_000, using: &random) * Self.minute
            let to = from + Int64.random(in: 0...9_000, using: &random) * Self.minute
            let step = (steps.randomElement(using: &random) ?? 1) * Self.minute
            let range = RollupRange(from: from, to: to, step: step)
            var at = from
            for piece in range.pieces {
                #expect(piece.from == at && piece.from < piece.to)
                #expect(piece.from % piece.level.length == 0 && piece.to % piece.level.length == 0)
                #expect(step % piece.level.length == 0)
                at = piece.to
            }
            #expect(at == to && range.pieces.count <= 5)
        }
    }
}
