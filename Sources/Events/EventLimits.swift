/// What one event may be; beyond it the event is refused with the code named.
package struct EventLimits: Sendable {
    /// Bytes of an event's JSON text: `event_too_large`.
    package var eventBytesMax = 256 * 1024
    /// Nesting, the event itself being level 1: `too_deep`.
    package var depthMax = 64
    /// Digits of a number when written out: `number_out_of_range`.
    ///
    /// jsonb holds longer ones but cannot give many of them back.
    package var numberDigitsMax = 400
    package var typeBytesMax = 255
    package var idBytesMax = 128
    package var sourceBytesMax = 1024
    package var subjectBytesMax = 1024
    /// How far ahead of the receive time a `time` may be: `time_in_future`.
    package var futureMicrosecondsMax: Int64 = 3_600_000_000
    /// How far beyond that a UUIDv7 id's time may be and still be refused, lest the event be dated on a later
    /// try; farther ahead the id is a name that tells no time.
    ///
    /// Must be more than the time for which repetitions of undated events are told.
    package var futureIDMicrosecondsMax: Int64 = 30 * 86_400_000_000
    /// How old a `time` may be, without limit when nil: `time_too_old`.
    package var retentionMicroseconds: Int64?
    /// Raw bytes that a rejection keeps, and the longest line that is held to be decoded.
    ///
    /// Somewhat more than an event, so that one of the full size may stand among spaces.
    package var rejectBytesMax = 256 * 1024 + 4096

    package init() {}
}

/// What the events of one request have in common.
package struct DecodeContext: Sendable {
    /// Microseconds since 1970 UTC.
    package var receivedAt: Int64
    /// Stands for an absent `source` outside strict mode.
    package var defaultSource: [UInt8]
    /// The only types that are taken; all when empty.
    package var allowedTypes: [[UInt8]] = []
    /// Whether every MUST of CloudEvents 1.0 is enforced.
    package var isStrict: Bool
    /// Makes the ids of events that came without one.
    package var ids: UUIDv7Generator

    package init(
        receivedAt: Int64,
        defaultSource: [UInt8] = [UInt8(ascii: "/")],
        isStrict: Bool = false,
        ids: UUIDv7Generator
    ) {
        self.receivedAt = receivedAt
        self.defaultSource = defaultSource
        self.isStrict = isStrict
        self.ids = ids
    }
}
