/// A byte range of an ``EventArena``'s bytes, or nothing at all.
package struct Slice: Equatable, Sendable {
    package var offset: Int32
    /// Bytes, or -1 when the attribute is absent.
    package var count: Int32

    package static let absent = Slice(offset: 0, count: -1)

    package init(offset: Int32, count: Int32) {
        self.offset = offset
        self.count = count
    }

    package init(_ range: Range<Int>) {
        offset = Int32(range.lowerBound)
        count = Int32(range.count)
    }

    package var isAbsent: Bool { count < 0 }

    /// The bytes' positions in the arena; empty when absent.
    package var range: Range<Int> { Int(offset)..<Int(offset) + max(0, Int(count)) }
}

/// One valid event: where its attributes lie in the arena, and what was read out of them.
package struct EventRecord: Equatable, Sendable {
    /// The position among the request's events; blank lines are not counted.
    package var index: Int32
    /// Unescaped UTF-8; never absent.
    package var type = Slice.absent
    /// Unescaped UTF-8; the key's default when the client sent none.
    package var source = Slice.absent
    /// Unescaped UTF-8, or absent.
    package var subject = Slice.absent
    /// Unescaped UTF-8; the UUIDv7 made here when the client sent none.
    package var id = Slice.absent
    /// A JSON object's text with every attribute that has no field of its own, or absent.
    package var attributes = Slice.absent
    /// JSON text as received, or absent.
    package var data = Slice.absent
    /// The decoded `data_base64`, or absent.
    package var dataBytes = Slice.absent
    /// The client's time in µs since 1970 UTC.
    package var time: Int64?
    /// The time inside a UUIDv7 id that the client sent, in µs since 1970 UTC.
    package var idTime: Int64?
    package var idIsGenerated = false
    /// The generated UUIDv7, 0 when the client sent an id.
    package var uuid: UInt128 = 0
    /// Bytes of the event's JSON text as received.
    package var rawBytes: Int32

    package init(index: Int32, rawBytes: Int32) {
        self.index = index
        self.rawBytes = rawBytes
    }

    /// Follows its bytes: the first `count` have moved to `start`, those behind them to `rest`.
    mutating func follow(first count: Int, to start: Int, restTo rest: Int) {
        func move(_ slice: inout Slice) {
            if slice.isAbsent { return }
            let offset = Int(slice.offset)
            slice.offset = Int32(offset < count ? offset + start : offset - count + rest)
        }
        move(&type)
        move(&source)
        move(&subject)
        move(&id)
        move(&attributes)
        move(&data)
        move(&dataBytes)
    }
}

/// Decoded events of one chunk, with one allocation for the bytes of them all: copies of the events' texts,
/// or the text of a whole body, and what had to be written anew.
///
/// Offsets are 32 bits: whoever fills an arena starts a new one long before 2 GiB.
package struct EventArena: Sendable {
    package var bytes: [UInt8] = []
    package var records: [EventRecord] = []
    package var rejections: [Rejection] = []

    package init() {}

    package mutating func removeAll(keepingCapacity keepsCapacity: Bool) {
        bytes.removeAll(keepingCapacity: keepsCapacity)
        records.removeAll(keepingCapacity: keepsCapacity)
        rejections.removeAll(keepingCapacity: keepsCapacity)
    }
}
