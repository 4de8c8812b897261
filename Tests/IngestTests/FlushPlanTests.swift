import Events
import TestSupport
import Testing

@testable import Ingest

@Suite struct `Flush plan` {
    private static let nothing = RecentKeys(capacity: 10)

    @Test func `sorts the rows of all submissions by time and key`() {
        for seed in 0..<50 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            let numbers = (0..<60).shuffled(using: &random)
            let plan = FlushPlan(
                [
                    Decoded.submission(Decoded.dated(numbers[..<30]) + Decoded.undated(0..<10)),
                    Decoded.submission(Decoded.dated(numbers[30...]) + Decoded.fresh(0..<10)),
                ],
                recent: Self.nothing
            )

            #expect(plan.rows.count == 80 && plan.duplicates == 0, "seed \(seed)")
            for (row, next) in zip(plan.rows, plan.rows.dropFirst()) {
                #expect((row.ts, row.key) < (next.ts, next.key), "seed \(seed)")
            }
            for row in plan.rows {
                let event = plan.event(of: row)
                #expect((event.ts, event.key, event.isUndated) == (row.ts, row.key, row.isUndated))
            }
        }
    }

    @Test func `keeps the first of the same events and answers the others as duplicates`() {
        let plan = FlushPlan(
            [
                Decoded.submission(Decoded.dated([1, 2, 1]) + Decoded.undated([1])),
                Decoded.submission(Decoded.undated([1, 2]) + Decoded.dated([2])),
            ],
            recent: Self.nothing
        )

        #expect(
            plan.verdicts == [[.stored, .stored, .duplicate, .stored], [.duplicate, .stored, .duplicate]]
        )
        #expect(plan.rows.count == 4 && plan.duplicates == 3)
        #expect(plan.hasUndated)
    }

    @Test func `has the first trace among the requests that have a row in it`() {
        func submission(_ numbers: Range<Int>, _ trace: String?) -> Submission {
            var submission = Decoded.submission(Decoded.dated(numbers))
            submission.trace = trace
            return submission
        }
        func trace(_ submissions: Submission...) -> String? {
            FlushPlan(submissions, recent: Self.nothing).trace
        }

        #expect(trace(submission(0..<1, nil), submission(1..<2, nil)) == nil)
        #expect(trace(submission(5..<6, nil), submission(3..<4, "a"), submission(1..<2, "b")) == "a")
        // Nothing of the second is new, and the third has no event.
        #expect(trace(submission(0..<2, nil), submission(0..<1, "a"), submission(2..<2, "b")) == nil)
        #expect(trace(submission(0..<2, nil), submission(0..<1, "a"), submission(2..<3, "b")) == "b")
    }

    @Test func `knows what was committed lately`() {
        var recent = RecentKeys(capacity: 10)
        let before = FlushPlan(
            [Decoded.submission(Decoded.dated([1]) + Decoded.undated([1]))],
            recent: recent
        )
        for row in before.rows { recent.insert(before.event(of: row).identity) }

        // Later, so that an undated event has another time.
        let later = Decoded.submission(
            Decoded.dated([1, 2]) + Decoded.undated([1, 2]),
            receivedAt: 1_790_000_000_000_000 + 7
        )
        let plan = FlushPlan([later], recent: recent)

        #expect(plan.verdicts == [[.duplicate, .stored, .duplicate, .stored]])
    }

    @Test func `never takes events without an id for the same`() {
        let plan = FlushPlan([Decoded.submission(Decoded.fresh([1, 1, 1]))], recent: Self.nothing)

        #expect(plan.rows.count == 3 && plan.duplicates == 0 && !plan.hasUndated)
    }

    @Test func `counts rejections and bytes of all submissions`() {
        let texts = Decoded.dated([1]) + ["{}", "nonsense"]
        let plan = FlushPlan([Decoded.submission(texts), Decoded.submission(["[]"])], recent: Self.nothing)

        #expect(plan.rejectionCount == 3)
        #expect(plan.byteCount == texts.reduce(0) { $0 + $1.utf8.count } + 2)
        #expect(plan.verdicts == [[.stored], []])
    }
}
