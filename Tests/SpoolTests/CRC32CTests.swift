import TestSupport
import Testing

@testable import Spool

@Suite struct `CRC-32C` {
    /// RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
    @Test(
        arguments: [
            ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
            ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
            (Array(0...31), 0x46DD_794E), (Array((0...31).reversed()), 0x113F_DB5C),
            (Array("123456789".utf8), 0xE306_9283), ([], 0),
        ] as [([UInt8], UInt32)]
    )
    func `gives the sums that the standard gives`(bytes: [UInt8], sum: UInt32) {
        #expect(CRC32C.of(bytes.span) == sum)
    }

    @Test func `does not depend on how the bytes were cut`() {
        var random = SplitMix(seed: 1)
        let bytes = (0..<100).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
        for cut in 0...bytes.count {
            var sum = CRC32C()
            sum.add(bytes.span.extracting(0..<cut))
            sum.add(bytes.span.extracting(cut..<bytes.count))
            #expect(sum.value == CRC32C.of(bytes.span), "cut at \(cut)")
        }
    }

    @Test func `gives other sums with another seed`() {
        let bytes = Array("123456789".utf8)
        var sum = CRC32C(seed: 7)
        sum.add(bytes.span)
        #expect(sum.value != CRC32C.of(bytes.span))
    }
}
