/// The rule for request ids that clients may choose themselves.
package enum RequestID {
    package static let bytesMax = 128

    /// Whether a client's id may be kept: short, and nothing in it that could confuse a log or a field.
    package static func isValid(_ bytes: Span<UInt8>) -> Bool {
        !bytes.isEmpty && bytes.count <= bytesMax
            && bytes.skip(ByteClass.requestID, in: 0..<bytes.count) == bytes.count
    }
}
