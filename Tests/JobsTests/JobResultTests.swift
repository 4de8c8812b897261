import Analytics
import Testing
import Workers

@testable import Jobs

@Suite struct `A worker's result` {
    private static let minute: Int64 = 60_000_000
    private let job = LeasedJob(
        id: LeaseID(job: 1, token: 2),
        kind: "rollup",
        stream: 1,
        lo: 0,
        hi: 2,
        timeMin: minute + 5,
        timeMax: 2 * minute - 1,
        attempt: 1,
        crashes: 0,
        timeout: .seconds(1),
        age: .zero
    )

    private func result(_ key: RollupKey, count: Int64 = 2, items: Int = 2) throws(ResultRefusal) -> JobResult
    {
        let body = RollupCodec.encode([key: Rollup(count: count)])
        return try JobResult(of: job, items: items, encoding: "rollup1", body: body, limits: ApplyLimits())
    }

    @Test func `is taken when it says what the events can have led to`() throws {
        let key = RollupKey(minute: Self.minute, type: "t", source: "s")
        #expect(try result(key).rollups == [key: Rollup(count: 2)])
    }

    @Test func `is refused when its counts, minutes or texts cannot be`() throws {
        let good = RollupKey(minute: Self.minute, type: "t", source: "s")
        #expect(throws: ResultRefusal.count(3, expected: 2)) { try result(good, count: 3) }
        #expect(throws: ResultRefusal.count(.max, expected: 2)) { try result(good, count: .max) }
        for key in [
            RollupKey(minute: 0, type: "t", source: "s"),
            RollupKey(minute: 2 * Self.minute, type: "t", source: "s"),
            RollupKey(minute: Self.minute, type: "t\u{0}", source: "s"),
            RollupKey(minute: Self.minute, type: "t", source: String(repeating: "s", count: 1_025)),
        ] {
            #expect(throws: ResultRefusal.key(key)) { try result(key) }
        }
        #expect(throws: ResultRefusal.encoding("json")) {
            try JobResult(of: job, items: 2, encoding: "json", body: [], limits: ApplyLimits())
        }
        #expect(throws: ResultRefusal.self) {
            try JobResult(of: job, items: 2, encoding: "rollup1", body: [9, 9, 9], limits: ApplyLimits())
        }
    }
}
