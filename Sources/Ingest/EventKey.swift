import Crypto
import Events

/// What makes an event the same event when it is sent again.
///
/// Dated events are identified by key and time, which is the partition key too; undated ones, whose time is
/// our own clock's, by their key alone, and so are all where dedup is strict.
struct Identity: Hashable, Sendable {
    let key: UInt128
    /// Microseconds since 1970; `Int64.min` for an undated event.
    let ts: Int64

    func hash(into hasher: inout Hasher) {
        // The key is a hash or random already, and events of one key are few.
        hasher.combine(UInt64(truncatingIfNeeded: key))
    }
}

/// Makes the keys under which events are stored.
package enum EventKey {
    /// 128 bits of SHA-256(source, 0, id), marked as a UUID of version 8 (RFC 9562 5.8).
    ///
    /// The zero byte cannot occur in either text, so no two pairs give the same input.
    package static func of(source: Span<UInt8>, id: Span<UInt8>) -> UInt128 {
        var input: [UInt8] = []
        input.reserveCapacity(source.count + id.count + 1)
        input.append(copying: source)
        input.append(0)
        input.append(copying: id)
        var high: UInt64 = 0
        var low: UInt64 = 0
        for (index, byte) in SHA256.hash(data: input).enumerated() {
            switch index {
            case 0..<8: high = high << 8 | UInt64(byte)
            case 8..<16: low = low << 8 | UInt64(byte)
            default: break
            }
        }
        high = high & 0xFFFF_FFFF_FFFF_0FFF | 0x8000
        low = low & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        return UInt128(high) << 64 | UInt128(low)
    }

    /// The key as UUID text, for queries.
    package static func text(source: String, id: String) -> String {
        String(
            decoding: formatUUID(of(source: Array(source.utf8).span, id: Array(id.utf8).span)),
            as: UTF8.self
        )
    }

    /// The key's bucket, 0..63: what a cluster distributes by.
    ///
    /// Bits that no version or variant occupies.
    static func bucket(of key: UInt128) -> Int16 { Int16(truncatingIfNeeded: key & 63) }
}

/// What makes two events with the same source and id the same.
package enum DedupRule: String, CaseIterable, Sendable {
    /// That, and the same time where they carry one; without limit then, else within the dedup window.
    case time
    /// That alone, within the dedup window.
    case strict
}

/// A decoded event with its place in storage.
struct PreparedEvent: Sendable {
    /// The record's position in its arena.
    let record: Int
    let key: UInt128
    /// Microseconds since 1970: the event's time, whoever gave it.
    let ts: Int64
    /// Whether `event_keys` decides: the receive time stands in, or the time does not count.
    let isUndated: Bool
    /// Whether the key was made here a moment ago, so that nothing can be the same event.
    let isFresh: Bool

    /// Places the record at `position` of `arena`.
    init(_ position: Int, of arena: EventArena, receivedAt: Int64, dedup: DedupRule = .time) {
        let event = arena.records[position]
        record = position
        isFresh = event.idIsGenerated
        if isFresh {
            key = event.uuid
        } else {
            let bytes = arena.bytes.span
            key = EventKey.of(
                source: bytes.extracting(event.source.range),
                id: bytes.extracting(event.id.range)
            )
        }
        if let time = event.time ?? event.idTime {
            ts = time
            isUndated = dedup == .strict && !isFresh
        } else {
            ts = receivedAt
            isUndated = !isFresh
        }
    }

    /// An event whose place was settled before.
    init(record: Int, key: UInt128, ts: Int64, isUndated: Bool, isFresh: Bool) {
        self.record = record
        self.key = key
        self.ts = ts
        self.isUndated = isUndated
        self.isFresh = isFresh
    }

    var identity: Identity { Identity(key: key, ts: isUndated ? .min : ts) }
}
