/// Writes frames.
package struct FrameEncoder: Sendable {
    /// The receiver's `max_frame`: longer bodies go out in chunks.
    package var bodyBytesMax: Int

    package init(bodyBytesMax: Int = FrameLimits().bodyBytesMax) {
        precondition(bodyBytesMax > 0, "a frame carries at least one byte")
        self.bodyBytesMax = min(bodyBytesMax, FrameLimits.bodyBytesHardMax)
    }

    /// Appends one message, or a piece of one, to `output`, in as many frames as its body needs.
    package func append(_ frame: Frame, to output: inout [UInt8]) {
        precondition(frame.header.count <= FrameLimits().headerBytesMax, "headers are ours and short")
        var header = frame.header
        var rest = frame.body[...]
        output.reserveCapacity(output.count + Frame.prefixBytes + header.count + rest.count)
        repeat {
            let chunk = rest.prefix(bodyBytesMax)
            rest = rest.dropFirst(chunk.count)
            let flags = rest.isEmpty && !frame.hasMore ? 0 : Frame.flagMoreChunks
            appendBigEndian(UInt64(chunk.count), bytes: 4, to: &output)
            output.append(frame.type.rawValue)
            output.append(flags)
            appendBigEndian(UInt64(header.count), bytes: 2, to: &output)
            appendBigEndian(UInt64(frame.sequence), bytes: 4, to: &output)
            output.append(contentsOf: header)
            output.append(contentsOf: chunk)
            header = []
        } while !rest.isEmpty
    }

    private func appendBigEndian(_ value: UInt64, bytes: Int, to output: inout [UInt8]) {
        for shift in stride(from: (bytes - 1) * 8, through: 0, by: -8) {
            output.append(UInt8(truncatingIfNeeded: value >> UInt64(shift)))
        }
    }
}
