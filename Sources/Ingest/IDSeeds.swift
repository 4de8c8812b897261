import Events
import Synchronization

/// Seeds for generators of event ids, all different within the process and random between processes.
///
/// A generator a request needs no lock and no system call; a Weyl sequence from a random start never repeats
/// a seed.
final class IDSeeds: Sendable {
    private let next = Atomic<UInt64>(.random(in: 0 ... .max))

    func generator() -> UUIDv7Generator {
        let (old, _) = next.wrappingAdd(0x9E37_79B9_7F4A_7C15, ordering: .relaxed)
        return UUIDv7Generator(seed: old)
    }
}
