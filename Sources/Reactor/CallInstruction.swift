/// The machine's call instructions, as far as a walk over a stack has to know them.
extension LoadedCode {
    #if arch(x86_64)
    /// Intel's manual, volume 2, CALL: `E8` with a distance, `FF /2` with a register or a place in memory.
    func followsCall(_ address: UInt) -> Bool {
        if code(at: address &- 5, 1) == [0xE8] { return true }
        // Two bytes for a register; three, four, six or seven with what its operand needs.
        return ([2, 3, 4, 6, 7] as [UInt]).contains { length in
            let bytes = code(at: address &- length, 2)
            return bytes.count == 2 && bytes[0] == 0xFF && bytes[1] >> 3 & 7 == 2
        }
    }

    func callTarget(before address: UInt) -> UInt? {
        let bytes = code(at: address &- 5, 5)
        guard bytes.count == 5, bytes[0] == 0xE8 else { return nil }
        let distance = bytes[1...].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return address &+ UInt(bitPattern: Int(Int32(bitPattern: distance)))
    }

    /// Bytes of code, which can be read like any memory; none where there is none.
    private func code(at address: UInt, _ count: Int) -> [UInt8] {
        guard let last = image(of: address)?.segments.first(where: { $0.contains(address) })?.upperBound,
            UInt(count) <= last - address, let start = UnsafePointer<UInt8>(bitPattern: address)
        else { return [] }
        return Array(UnsafeBufferPointer(start: start, count: count))
    }
    #else
    /// Elsewhere glibc keeps frame pointers, and nothing has to be looked for.
    func followsCall(_ address: UInt) -> Bool { false }

    func callTarget(before address: UInt) -> UInt? { nil }
    #endif
}
