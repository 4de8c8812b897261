import Events
import HTTP
import Reactor

@testable import Ingest

/// An event as its sender knows it.
struct Item: Hashable {
    enum Kind: Hashable {
        /// With an id and a time.
        case dated
        /// With an id alone.
        case undated
        /// Without an id: sent again, it is another one.
        case fresh
        /// Valid, but PostgreSQL does not take it.
        case refused(type: String)
        case invalid
    }

    let kind: Kind
    let number: Int

    /// Whether it ends in the table.
    var isStorable: Bool {
        switch kind {
        case .dated, .undated, .fresh: true
        case .refused, .invalid: false
        }
    }

    /// Its text, the same each time.
    var text: String {
        switch kind {
        case .dated:
            #"{"id":"d\#(number)","type":"a","source":"/s","time":"\#(time)","data":{"n":\#(number)}}"#
        case .undated: #"{"id":"u\#(number)","type":"b","source":"/s","data":{"n":\#(number)}}"#
        case .fresh: #"{"type":"c","source":"/s","data":{"n":\#(number)}}"#
        case .refused(let type): #"{"id":"r\#(number)","type":"\#(type)","source":"/s","time":"\#(time)"}"#
        case .invalid: #"{"id":"i\#(number)"}"#
        }
    }

    private var time: String {
        String(decoding: Timestamp.format(1_790_000_000_000_000 + Int64(number) * 1_000), as: UTF8.self)
    }
}

/// One request.
struct Delivery: Sendable {
    /// Its own account, too: so the accounts tell of each request.
    let number: Int
    let items: [Item]
    let isAtomic: Bool
    let acknowledgement: IngestOptions.Acknowledgement
    let waits: Bool
    let receivedAt: Int64
    let arena: EventArena
    /// Of each valid item in the order of the arena.
    let events: [PreparedEvent]
    private let bytes: Int

    init(
        number: Int,
        items: [Item],
        isAtomic: Bool,
        acknowledgement: IngestOptions.Acknowledgement,
        waits: Bool,
        receivedAt: Int64,
        seed: UInt64
    ) {
        self.number = number
        self.items = items
        self.isAtomic = isAtomic
        self.acknowledgement = acknowledgement
        self.waits = waits
        self.receivedAt = receivedAt
        var context = DecodeContext(receivedAt: receivedAt, ids: UUIDv7Generator(seed: seed))
        var arena = EventArena()
        let decoder = EventDecoder()
        let texts = items.map { Array($0.text.utf8) }
        for (index, text) in texts.enumerated() {
            decoder.decode(text.span, index: Int32(index), context: &context, into: &arena)
        }
        self.arena = arena
        events = arena.records.indices.map { PreparedEvent($0, of: arena, receivedAt: receivedAt) }
        bytes = texts.reduce(0) { $0 + $1.count }
    }

    var requestID: String { "request-\(number)" }

    /// The item of a record.
    func item(_ record: Int) -> Item { items[Int(arena.records[record].index)] }

    func store(in ingestor: Ingestor) async -> Result<Kept, IngestError> {
        do throws(IngestError) {
            return .success(
                try await ingestor.store(
                    arena,
                    requestID: RequestID(requestID),
                    receivedAt: receivedAt,
                    bytes: bytes,
                    sender: Int64(number),
                    isAtomic: isAtomic,
                    acknowledgement: acknowledgement,
                    waits: waits
                )
            )
        } catch {
            return .failure(error)
        }
    }
}
