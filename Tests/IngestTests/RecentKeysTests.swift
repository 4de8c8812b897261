import Testing

@testable import Ingest

@Suite struct `Recent keys` {
    private static func identity(_ number: Int) -> Identity {
        Identity(key: UInt128(number), ts: Int64(number))
    }

    @Test func `remember at least their capacity and at most twice that`() {
        var keys = RecentKeys(capacity: 100)
        for number in 0..<1_000 {
            keys.insert(Self.identity(number))

            for lately in max(0, number - 99)...number {
                #expect(keys.contains(Self.identity(lately)), "\(lately) after \(number)")
            }
            #expect(number < 200 || !keys.contains(Self.identity(number - 200)))
        }
    }

    @Test func `tell events of one key and different times apart`() {
        var keys = RecentKeys(capacity: 10)
        keys.insert(Identity(key: 7, ts: 1))

        #expect(!keys.contains(Identity(key: 7, ts: 2)))
        #expect(!keys.contains(Identity(key: 8, ts: 1)))
        #expect(keys.contains(Identity(key: 7, ts: 1)))
    }
}
