/// Why bytes are not what an encoder of this target writes, and where.
package struct CodecError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong at the offset.
    package enum Reason: String, Sendable {
        case truncated = "the input ends too early"
        case trailing = "bytes follow the end"
        case version = "unknown version"
        case number = "a number is too large or not in its shortest form"
        case limit = "a count exceeds its limit"
        case order = "entries are not in strictly ascending order"
        case value = "a value is out of range or contradicts others"
        case text = "text is not valid UTF-8"
    }

    package let reason: Reason

    /// Bytes from the start of the input to where reading stopped.
    package let offset: Int

    package var description: String { "\(reason.rawValue) (byte \(offset))" }
}
