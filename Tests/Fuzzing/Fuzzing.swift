// Fuzzing: libFuzzer's way into the parsers, one program for each name in `Fuzzer`. Not part of the package:
// `Tests/Fuzzing/run` compiles this folder with the sources of the pure targets, under libFuzzer and the
// address sanitizer, which SwiftPM cannot do for one target alone. What goes in is bytes; what must come out
// is the same answer however the bytes are cut, and no trap.

/// A number of cuts that follows from the bytes themselves, so that a finding can be repeated.
struct Cuts {
    private var state: UInt64

    init(_ bytes: [UInt8]) {
        state = bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    /// The length of the next piece of `left` bytes: often one, sometimes many.
    mutating func next(of left: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let choice = Int(truncatingIfNeeded: state >> 33)
        return min(left, choice % 3 == 0 ? 1 : 1 + choice % 61)
    }
}

func check(_ isTrue: Bool, _ what: String) {
    if !isTrue { fatalError(what) }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    Fuzzer.run(Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}
