import Glibc

/// A pair of blocking descriptors, for a process that does one thing at a time: a worker's requests and
/// replies.
package struct BlockingChannel: ~Copyable {
    private let input: Descriptor
    private let output: Descriptor

    /// Takes over the descriptors numbered `input` and `output`.
    package init(adoptingInput input: CInt, output: CInt) {
        self.input = Descriptor(adopting: input)
        self.output = Descriptor(adopting: output)
    }

    /// Appends at least one byte and at most `atMost` to `buffer`; `false` at the end of the stream or an
    /// error.
    package borrowing func read(into buffer: inout ReadBuffer, atMost: Int) -> Bool {
        let raw = input.raw
        let count = buffer.fill(atMost: atMost) { room in
            while true {
                let count = Glibc.read(raw, room.baseAddress, room.count)
                if count >= 0 || errno != EINTR { return count }
            }
        }
        return count > 0
    }

    /// Writes all of `bytes`; `false` when the other side is gone.
    package borrowing func write(_ bytes: [UInt8]) -> Bool {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { all in
                let rest = UnsafeRawBufferPointer(rebasing: all[written...])
                return Glibc.write(output.raw, rest.baseAddress, rest.count)
            }
            if count < 0, errno != EINTR { return false }
            written += max(count, 0)
        }
        return true
    }
}
