import Reactor

/// Buffers that no connection of a loop uses just now.
///
/// A connection holds buffers only while it has a request, and takes those that were used last: a few stay
/// warm in the cache, however many connections there are. Belongs to its loop.
final class BufferPool {
    private var inputs: [ReadBuffer] = []
    private var outputs: [[UInt8]] = []

    /// The room that a fresh input has, and the most that a kept output may have.
    static let bufferBytes = 4096
    /// Of each kind; what is given beyond is freed.
    private static let buffersMax = 64

    func takeInput() -> ReadBuffer { inputs.popLast() ?? ReadBuffer(capacity: Self.bufferBytes) }

    func takeOutput() -> [UInt8] {
        if let output = outputs.popLast() { return output }
        var output: [UInt8] = []
        output.reserveCapacity(Self.bufferBytes / 4)
        return output
    }

    /// Takes back an input that holds nothing any more.
    func give(input: consuming ReadBuffer) {
        guard inputs.count < Self.buffersMax, input.bytes.count == Self.bufferBytes else { return }
        input.removeAll()
        inputs.append(input)
    }

    /// Takes back an output that has been written.
    func give(output: consuming [UInt8]) {
        guard outputs.count < Self.buffersMax, 1...Self.bufferBytes ~= output.capacity else { return }
        output.removeAll(keepingCapacity: true)
        outputs.append(output)
    }
}
