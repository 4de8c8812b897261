import Synchronization

/// How far the reading of the inputs has come, for those who show it.
final class SendMeter: Sendable {
    struct Reading: Equatable, Sendable {
        /// Bytes of the inputs as they lie on the disk.
        var bytes = 0
        /// How many there are in all; `nil` when nobody knows.
        var bytesTotal: Int?
        /// Lines that were not sent because they had been acknowledged earlier.
        var linesSkipped = 0
        /// Inputs of which such lines were skipped.
        var inputsSkipped = 0

        /// How much of the inputs has been read, from 0 to 1.
        var fraction: Double? {
            guard let bytesTotal else { return nil }
            return bytesTotal > 0 ? min(1, Double(bytes) / Double(bytesTotal)) : 1
        }
    }

    private let state: Mutex<Reading>

    init(bytesTotal: Int? = nil) {
        state = Mutex(Reading(bytesTotal: bytesTotal))
    }

    /// A meter for all of `inputs`, whose sizes are known or not.
    convenience init(_ inputs: [SendInput]) {
        let sizes = inputs.map(\.size)
        self.init(bytesTotal: sizes.contains(nil) ? nil : sizes.reduce(0) { $0 + ($1 ?? 0) })
    }

    var reading: Reading { state.withLock { $0 } }

    func noteRead(bytes: Int) { state.withLock { $0.bytes = bytes } }

    /// An input has ended after `bytes`, which may be more than its size was at the start, or less.
    func noteEnd(bytes: Int, of size: Int?) {
        state.withLock { state in
            guard let total = state.bytesTotal, let size else { return }
            state.bytesTotal = total - size + bytes
        }
    }

    func noteSkipped(lines: Int) {
        state.withLock { state in
            state.linesSkipped += lines
            state.inputsSkipped += 1
        }
    }
}
