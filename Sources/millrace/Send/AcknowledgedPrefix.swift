/// How far the chunks of one input are acknowledged without a gap, in whatever order their answers come.
///
/// What lies behind a gap is remembered until the gap closes: a place in the text for each chunk, never the
/// chunk itself.
struct AcknowledgedPrefix: Sendable {
    /// The number of the first chunk that is not acknowledged.
    private var next = 0
    /// The ends of acknowledged chunks behind the gap, by number.
    private var behindGap: [Int: LinePosition] = [:]

    /// Notes that a chunk is acknowledged.
    ///
    /// - Returns: Where the prefix ends now; `nil` when it is as long as before.
    mutating func acknowledge(_ number: Int, endingAt end: LinePosition) -> LinePosition? {
        behindGap[number] = end
        var reached: LinePosition?
        while let position = behindGap.removeValue(forKey: next) {
            reached = position
            next += 1
        }
        return reached
    }
}
