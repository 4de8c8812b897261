import Glibc

/// What the environment says.
enum Settings {
    static func number(_ name: String) -> Int? { getenv(name).flatMap { Int(String(cString: $0)) } }
}

/// What happened in a walk: its last lines, and a sum of all that tells one walk from another.
struct Trace {
    private var lines: [String] = []
    private(set) var sum: UInt64 = 0xcbf2_9ce4_8422_2325

    /// SIMULATION_LINES has more of them kept, for whoever follows a walk from its beginning.
    private static let linesKept = Settings.number("SIMULATION_LINES") ?? 50

    mutating func note(_ line: String, at elapsed: Duration) {
        let (seconds, attoseconds) = elapsed.components
        let microseconds = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
        mix(UInt64(microseconds))
        for byte in line.utf8 { mix(UInt64(byte)) }
        if lines.count >= 2 * Self.linesKept { lines.removeFirst(Self.linesKept) }
        lines.append("\(microseconds / 1_000).\(microseconds % 1_000) ms  \(line)")
    }

    /// FNV-1a.
    mutating func mix(_ value: UInt64) { sum = (sum ^ value) &* 0x100_0000_01b3 }

    var tail: [String] { lines.suffix(Self.linesKept) }
}
