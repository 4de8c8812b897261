/// A 64-bit hash of `bytes` with good avalanche: the same on every node, in every version, for ever.
///
/// Stored HyperLogLogs depend on it, so neither the algorithm nor the seed may change. It is the "final 4"
/// form of Wang Yi's wyhash (public domain), written from its description: 64×64→128 multiplications whose
/// halves are xored. It is no defence against chosen collisions; nothing here that a client feeds relies on
/// their absence.
package func hash64(_ bytes: Span<UInt8>) -> UInt64 {
    hash64(bytes, seed: 0)
}

/// The same with a seed, so that the hashes of several strings can be chained into one.
func hash64(_ bytes: Span<UInt8>, seed: UInt64) -> UInt64 {
    let count = bytes.count
    var seed = seed ^ folded(seed ^ secret0, secret1)
    var (first, second): (UInt64, UInt64) = (0, 0)
    if count > 16 {
        absorb(bytes, into: &seed)
        // The last 16 bytes, which may overlap what has been absorbed.
        first = bytes.word64(at: count - 16)
        second = bytes.word64(at: count - 8)
    } else if count >= 4 {
        let step = (count >> 3) << 2
        first = bytes.word32(at: 0) << 32 | bytes.word32(at: step)
        second = bytes.word32(at: count - 4) << 32 | bytes.word32(at: count - 4 - step)
    } else if count > 0 {
        first = UInt64(bytes[0]) << 16 | UInt64(bytes[count >> 1]) << 8 | UInt64(bytes[count - 1])
    }
    let product = (first ^ secret1).multipliedFullWidth(by: second ^ seed)
    return folded(product.low ^ secret0 ^ UInt64(count), product.high ^ secret1)
}

/// Absorbs all of a long input but for its last bytes, 16 at most.
private func absorb(_ bytes: Span<UInt8>, into seed: inout UInt64) {
    var offset = 0
    var left = bytes.count
    if left >= 48 {
        var (lane1, lane2) = (seed, seed)
        repeat {
            seed = folded(bytes.word64(at: offset) ^ secret1, bytes.word64(at: offset + 8) ^ seed)
            lane1 = folded(bytes.word64(at: offset + 16) ^ secret2, bytes.word64(at: offset + 24) ^ lane1)
            lane2 = folded(bytes.word64(at: offset + 32) ^ secret3, bytes.word64(at: offset + 40) ^ lane2)
            offset += 48
            left -= 48
        } while left >= 48
        seed ^= lane1 ^ lane2
    }
    while left > 16 {
        seed = folded(bytes.word64(at: offset) ^ secret1, bytes.word64(at: offset + 8) ^ seed)
        offset += 16
        left -= 16
    }
}

/// Whether the bytes are the same; faster than comparing one by one.
///
/// Takes an array because the span of an element of an array cannot be passed on in Swift 6.3.
func isEqual(_ left: [UInt8], _ right: Span<UInt8>) -> Bool {
    let left = left.span
    let count = left.count
    guard count == right.count else { return false }
    if count >= 8 {
        var offset = 0
        while offset + 8 <= count {
            if left.word64(at: offset) != right.word64(at: offset) { return false }
            offset += 8
        }
        return left.word64(at: count - 8) == right.word64(at: count - 8)
    }
    for index in 0..<count where left[index] != right[index] { return false }
    return true
}

private let secret0: UInt64 = 0x2d35_8dcc_aa6c_78a5
private let secret1: UInt64 = 0x8bb8_4b93_962e_acc9
private let secret2: UInt64 = 0x4b33_a62e_d433_d4a3
private let secret3: UInt64 = 0x4d5a_2da5_1de1_aa47

/// Both halves of the 128-bit product, xored.
@inline(__always)
private func folded(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let product = left.multipliedFullWidth(by: right)
    return product.high ^ product.low
}

extension Span<UInt8> {
    // "unsafe" in the name of the call below is about types for which some bit patterns are no values;
    // every pattern is an integer, and the offset is checked.

    @inline(__always)
    fileprivate func word64(at offset: Int) -> UInt64 {
        UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    @inline(__always)
    fileprivate func word32(at offset: Int) -> UInt64 {
        UInt64(UInt32(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self)))
    }
}
