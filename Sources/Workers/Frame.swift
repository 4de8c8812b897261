// Workers: the supervisor of the analytics processes, and what runs inside the built-in one.
//
// Lives here: AWP/1, the protocol of the pipes (`FrameDecoder`, `FrameEncoder`, `WorkerMessage`,
// `SupervisorMessage`); the supervisor (`PoolState` decides, `WorkerPool` does, `WorkerProcess` is one child
// and its pipes); and the child's side (`WorkerLoop`, with `RollupKind` as its work). Which job runs when,
// and what becomes of its result, is Jobs'.
//
//     Jobs → WorkerPool.run → PoolState → FrameEncoder → pipe 3 → WorkerLoop → RollupKind
//     Jobs ←  WorkerOutcome ← PoolState ← FrameDecoder ← pipe 4 ←──┘
//
// Frames from a worker are untrusted input: bounds are checked before anything is allocated for them.

/// The byte that says what a frame is.
package struct FrameType: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    package static let hello = FrameType(rawValue: 0x01)
    package static let helloOK = FrameType(rawValue: 0x02)
    package static let helloNo = FrameType(rawValue: 0x03)
    package static let job = FrameType(rawValue: 0x10)
    package static let cancel = FrameType(rawValue: 0x11)
    package static let ping = FrameType(rawValue: 0x12)
    package static let drain = FrameType(rawValue: 0x13)
    package static let result = FrameType(rawValue: 0x20)
    package static let fail = FrameType(rawValue: 0x21)
    package static let progress = FrameType(rawValue: 0x22)
    package static let pong = FrameType(rawValue: 0x23)
    package static let log = FrameType(rawValue: 0x24)
    package static let bye = FrameType(rawValue: 0x25)
    package static let partial = FrameType(rawValue: 0x26)

    /// Whether a receiver that does not know the type must give up rather than skip the frame.
    package var isCritical: Bool { rawValue & 0x80 != 0 }
}

/// One whole message, its chunks put together if there were several; or a single chunk, for those who read
/// or write a message piece by piece.
package struct Frame: Equatable, Sendable {
    package var type: FrameType
    /// Chosen by the supervisor for each dispatch; a reply repeats it.
    package var sequence: UInt32
    /// A JSON object's text, not looked at yet; may be empty.
    package var header: [UInt8]
    package var body: [UInt8]
    /// Whether more chunks of the message follow.
    package var hasMore = false

    package init(_ type: FrameType, sequence: UInt32, header: [UInt8] = [], body: [UInt8] = []) {
        self.type = type
        self.sequence = sequence
        self.header = header
        self.body = body
    }

    /// Bytes before the header: `u32 body_len | u8 type | u8 flags | u16 hdr_len | u32 seq`, big-endian.
    static let prefixBytes = 12
    static let flagMoreChunks: UInt8 = 0x01
}

/// Bounds of frames, in bytes.
package struct FrameLimits: Equatable, Sendable {
    /// Of one frame's header; the length field could say up to 65,535.
    package var headerBytesMax = 16 << 10
    /// Of one frame's body: what HELLO announces as `max_frame`.
    package var bodyBytesMax = 16 << 20
    /// Of the bodies of one message's chunks together: what one worker may make the supervisor hold.
    package var messageBytesMax = 64 << 20

    package init() {}

    /// No negotiation raises a frame's body above this.
    package static let bodyBytesHardMax = 256 << 20
}

/// Why bytes are not AWP/1; the stream cannot be read any further.
package enum FrameError: Error, Equatable, Sendable {
    case headerTooLong(bytes: Int, limit: Int)
    case bodyTooLong(bytes: Int, limit: Int)
    /// The chunks of one message together.
    case messageTooLong(limit: Int)
    /// Flags that were never negotiated (bit 1 is zstd).
    case unknownFlags(UInt8)
    /// A second message in chunks began before the first one's last chunk.
    case interleavedChunks
    /// The stream ended inside a frame, or before a message's last chunk.
    case truncatedFrame

    /// A sentence for the log.
    package var detail: String {
        switch self {
        case .headerTooLong(let bytes, let limit): "frame header of \(bytes) bytes, the limit is \(limit)"
        case .bodyTooLong(let bytes, let limit): "frame body of \(bytes) bytes, the limit is \(limit)"
        case .messageTooLong(let limit): "chunks of one message exceed \(limit) bytes"
        case .unknownFlags(let flags):
            "frame with flags 0x\(String(flags, radix: 16)) that were not negotiated"
        case .interleavedChunks: "a message in chunks began inside another one"
        case .truncatedFrame: "truncated_frame: the stream ended inside a frame"
        }
    }
}
