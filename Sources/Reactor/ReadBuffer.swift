/// Bytes that have been read and not yet used up, in one growable array.
///
/// The unread bytes are `bytes[readable]`; look at them with `bytes.span.extracting(readable)`, without a
/// copy.
package struct ReadBuffer: Sendable {
    package private(set) var bytes: [UInt8]
    package private(set) var readable: Range<Int> = 0..<0

    /// A buffer with room for `capacity` bytes before it grows.
    package init(capacity: Int) {
        bytes = [UInt8](repeating: 0, count: capacity)
    }

    package var count: Int { readable.count }
    package var isEmpty: Bool { readable.isEmpty }

    /// Lends the unread bytes to `body`, for a buffer that is itself reached through a reference.
    package func withReadable<Value, Failure: Error>(
        _ body: (Span<UInt8>) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        try body(bytes.span.extracting(readable))
    }

    /// Drops the first `count` unread bytes.
    package mutating func consume(_ count: Int) {
        precondition(count <= readable.count, "no more can be used up than has been read")
        readable = readable.lowerBound + count..<readable.upperBound
        if readable.isEmpty { readable = 0..<0 }
    }

    package mutating func removeAll() {
        readable = 0..<0
    }

    /// Appends bytes as if they had been read.
    package mutating func append(_ more: [UInt8]) {
        makeRoom(more.count)
        bytes.replaceSubrange(readable.upperBound..<readable.upperBound + more.count, with: more)
        readable = readable.lowerBound..<readable.upperBound + more.count
    }

    /// Lets `body` fill at most `count` bytes behind the unread ones; it returns how many it has filled.
    mutating func fill(atMost count: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
        makeRoom(count)
        let start = readable.upperBound
        let filled = bytes.withUnsafeMutableBytes { all in
            body(UnsafeMutableRawBufferPointer(rebasing: all[start..<start + count]))
        }
        if filled > 0 { readable = readable.lowerBound..<start + filled }
        return filled
    }

    private mutating func makeRoom(_ count: Int) {
        if bytes.count - readable.upperBound >= count { return }
        let unread = readable.count
        if readable.lowerBound > 0 {
            bytes.replaceSubrange(0..<unread, with: bytes[readable])
            readable = 0..<unread
        }
        let needed = unread + count
        if bytes.count < needed {
            let missing = max(needed, bytes.count * 2) - bytes.count
            // Not `repeatElement`: without the optimizer the library appends each of its elements by code
            // that asks for types under a lock, and loops wait for each other.
            bytes.append(addingCapacity: missing) { $0.append(repeating: 0, count: missing) }
        }
    }
}
