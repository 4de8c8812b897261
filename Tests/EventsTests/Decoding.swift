import Events

/// One event decoded alone, its attributes as text.
struct Decoded {
    var record: EventRecord?
    var rejection: Rejection?
    var arena = EventArena()

    static let receivedAt: Int64 = 1_767_323_045_000_000

    init(_ text: String, isStrict: Bool = false, limits: EventLimits = EventLimits()) {
        self.init(Array(text.utf8), isStrict: isStrict, limits: limits)
    }

    init(_ bytes: [UInt8], isStrict: Bool = false, limits: EventLimits = EventLimits()) {
        var context = Self.context(isStrict: isStrict)
        EventDecoder(limits: limits).decode(bytes.span, index: 7, context: &context, into: &arena)
        record = arena.records.first
        rejection = arena.rejections.first
    }

    static func context(isStrict: Bool = false) -> DecodeContext {
        DecodeContext(
            receivedAt: receivedAt,
            defaultSource: Array("/default".utf8),
            isStrict: isStrict,
            ids: UUIDv7Generator(seed: 1)
        )
    }

    var code: RejectCode? { rejection?.code }

    func text(_ path: KeyPath<EventRecord, Slice>) -> String? {
        record.flatMap { arena.text($0[keyPath: path]) }
    }
}

extension EventArena {
    func text(_ slice: Slice) -> String? {
        slice.isAbsent ? nil : String(decoding: bytes[slice.range], as: UTF8.self)
    }
}

/// The generator of Steele, Lea and Flood: a seed names a whole walk.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}
