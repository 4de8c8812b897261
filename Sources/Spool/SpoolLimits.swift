/// Bounds of a spool.
package struct SpoolLimits: Sendable {
    /// All of its files together; beyond, it is full.
    package var bytesMax = 4 << 30
    /// Of one segment, which is made and written with zeros before it is needed.
    package var segmentBytes = 64 << 20
    /// Of one record's payload, less than a segment; what claims to be longer is no record.
    package var payloadBytesMax = 48 << 20
    /// Written and made durable at once: more make a wait longer and the disk no faster.
    package var groupBytesMax = 4 << 20
    /// Payloads that wait for the disk; beyond, appends are refused.
    package var waitingBytesMax = 32 << 20
    /// Less room than this is none.
    package var roomBytesMin = 1 << 20
    /// Damaged segments that are kept for whoever wants to look at them, the newest.
    package var keptAsideMax = 4
    /// Read from a segment at once.
    package var windowBytes = 1 << 20
    /// Records that are withheld; beyond, the reader has to wait with those behind.
    package var withheldRecordsMax = 256
    /// Events that can be looked up, at 8 bytes each; of those beyond it is not known whether they are there.
    package var indexedEventsMax = 4 << 20
    /// Records that are read to look up one event.
    package var searchedRecordsMax = 64
    /// Before making a segment is tried again that the disk had refused.
    package var retry = Duration.seconds(1)

    package init() {}
}
