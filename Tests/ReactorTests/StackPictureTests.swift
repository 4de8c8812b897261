import TestSupport
import Testing

@testable import Reactor

/// Code between 0x1000 and 0x2000 that keeps frames, and between 0x8000 and 0x9000 that does not.
private struct MadeCode: CodeMap {
    /// What the calls before these addresses call.
    var targets: [UInt: UInt] = [:]
    /// Functions begin at multiples of 0x100.
    func function(of address: UInt) -> UInt? { address & ~0xFF }
    func contains(_ address: UInt) -> Bool { keepsFrames(address) || (0x8000..<0x9000).contains(address) }
    func keepsFrames(_ address: UInt) -> Bool { (0x1000..<0x2000).contains(address) }
    /// Odd addresses do not.
    func followsCall(_ address: UInt) -> Bool { address % 2 == 0 }
    func callTarget(before address: UInt) -> UInt? { targets[address] }
}

@Suite struct `A picture of a stack` {
    /// A stack from 0x10000 up: two frames, at its third and fifth word.
    private static func picture(_ words: [UInt], instruction: UInt = 0x1010, frame: UInt) -> StackPicture {
        StackPicture(instruction: instruction, stackPointer: 0x10000, framePointer: frame, words: words)
    }

    private static func address(ofWord index: UInt) -> UInt { 0x10000 + 8 * index }

    @Test func `shows the calls under way, the innermost first`() {
        let picture = Self.picture(
            [0, 0, Self.address(ofWord: 4), 0x1120, 0, 0x1230],
            frame: Self.address(ofWord: 2)
        )

        #expect(picture.addresses(atMost: 9, in: MadeCode()) == [0x1010, 0x1120, 0x1230])
        #expect(picture.addresses(atMost: 2, in: MadeCode()) == [0x1010, 0x1120])
    }

    @Test func `follows frames that asynchronous functions have marked`() {
        let picture = Self.picture(
            [Self.address(ofWord: 2) | 1 << 60, 0x1120, 0, 0x1230],
            frame: Self.address(ofWord: 0)
        )

        #expect(picture.addresses(atMost: 9, in: MadeCode()) == [0x1010, 0x1120, 0x1230])
    }

    /// Outside of the stack, below itself, at itself, cut in half, at the last word, and no code above it.
    @Test(arguments: [0, 0xFFF8, 0x10000, 0x10004, 0x10018, 0x10020, .max - 7, 0x10010] as [UInt])
    func `ends at what is no frame`(next: UInt) {
        let picture = Self.picture([next, 0x1120, 0, 0], frame: Self.address(ofWord: 0))

        #expect(picture.addresses(atMost: 9, in: MadeCode()) == [0x1010, 0x1120])
    }

    @Test func `is but an address where there is no frame`() {
        for words in [[], [0], [0x1120, 0x1230], [Self.address(ofWord: 0), 0x1120]] as [[UInt]] {
            #expect(Self.picture(words, frame: 7).addresses(atMost: 9, in: MadeCode()) == [0x1010])
        }
    }

    @Test func `shows who has called a library that keeps no frames`() {
        // 0x1300 calls what is at 0x1500; 0x1544 is in that function, and 0x1720 is left of an earlier call.
        var code = MadeCode()
        let words: [UInt] = [0x1545, 0x1720, 0x1544, 0, 0, 0x1300]
        code.targets = [0x1300: 0x1500]
        let picture = Self.picture(words, instruction: 0x8010, frame: Self.address(ofWord: 4))

        #expect(picture.addresses(atMost: 9, in: code) == [0x8010, 0x1544, 0x1300])
    }

    @Test func `finds the frames again that a library has lost`() {
        let words: [UInt] = [3, 0x1720, Self.address(ofWord: 4), 0x1120, 0, 0x1230]
        let picture = Self.picture(words, instruction: 0x8010, frame: 12)

        #expect(picture.addresses(atMost: 9, in: MadeCode()).suffix(2) == [0x1120, 0x1230])
    }

    /// Whatever lies on a stack, the walk ends and stays on it.
    @Test func `survives any stack`() {
        for seed in 0..<2_000 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            let count = Int(random.next() % 40)
            let words = (0..<count).map { _ -> UInt in
                switch random.next() % 3 {
                case 0: Self.address(ofWord: UInt(random.next() % 42))
                case 1: 0x1000 + UInt(random.next() % 0x1000)
                default: UInt(random.next())
                }
            }
            let frame = Self.address(ofWord: UInt(random.next() % 42)) + UInt(random.next() % 2)
            let instruction: UInt = random.next() % 2 == 0 ? 0x1010 : 0x8010
            let picture = Self.picture(words, instruction: instruction, frame: frame)

            let addresses = picture.addresses(atMost: 16, in: MadeCode())

            #expect(addresses.count <= 17 && addresses.first == instruction, "seed \(seed)")
            #expect(addresses.dropFirst().allSatisfy { words.contains($0) }, "seed \(seed)")
        }
    }
}
