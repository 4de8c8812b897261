/// A worker's standard output and error: the last bytes for a post-mortem, and complete lines at a bounded
/// rate.
///
/// Holds no clock; the reader of the pipe passes the time since any fixed start.
package struct WorkerLog: Sendable {
    private let limits: WorkerLogLimits
    private var ring: [UInt8] = []
    private var ringStart = 0
    private var line: [UInt8] = []
    private var windowStart = Duration.zero
    private var windowBytes = 0
    /// Bytes of lines that were over the rate, since ``takeDropped()`` last asked.
    private var dropped = 0

    package init(limits: WorkerLogLimits = WorkerLogLimits()) {
        self.limits = limits
    }

    /// Takes what was read and returns the lines that it completed and that may be forwarded.
    package mutating func take(_ bytes: Span<UInt8>, now: Duration) -> [String] {
        keep(bytes)
        if now - windowStart >= .seconds(1) {
            windowStart = now
            windowBytes = 0
        }
        var lines: [String] = []
        for index in bytes.indices {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\n") {
                endLine(into: &lines)
            } else {
                line.append(byte)
                if line.count == limits.lineBytesMax { endLine(into: &lines) }
            }
        }
        return lines
    }

    /// Returns the last line, which the stream's end has completed.
    package mutating func finish() -> [String] {
        var lines: [String] = []
        endLine(into: &lines)
        return lines
    }

    /// Returns the bytes dropped since the last call.
    package mutating func takeDropped() -> Int {
        defer { dropped = 0 }
        return dropped
    }

    /// The last bytes, at most `bytes`, as text.
    package func tail(atMost bytes: Int) -> String {
        let ordered = ring[ringStart...] + ring[..<ringStart]
        return String(decoding: ordered.suffix(bytes), as: UTF8.self)
    }

    private mutating func endLine(into lines: inout [String]) {
        defer { line.removeAll(keepingCapacity: true) }
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        if line.isEmpty { return }
        if windowBytes + line.count > limits.bytesPerSecondMax {
            dropped += line.count
        } else {
            windowBytes += line.count
            lines.append(String(decoding: line, as: UTF8.self))
        }
    }

    private mutating func keep(_ bytes: Span<UInt8>) {
        for index in max(0, bytes.count - limits.tailBytesMax)..<bytes.count {
            if ring.count < limits.tailBytesMax {
                ring.append(bytes[index])
            } else {
                ring[ringStart] = bytes[index]
                ringStart = ringStart + 1 == limits.tailBytesMax ? 0 : ringStart + 1
            }
        }
    }
}
