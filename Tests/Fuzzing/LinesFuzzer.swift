/// NDJSON: the same records and rejections however the body is cut.
enum Fuzzer {
    static func run(_ bytes: [UInt8]) {
        let whole = decode(bytes) { $0 }
        var cuts = Cuts(bytes)
        let cut = decode(bytes) { cuts.next(of: $0) }
        check(whole.records == cut.records && whole.bytes == cut.bytes, "other records in pieces")
        check(whole.rejections == cut.rejections, "other rejections in pieces")
        for record in whole.records {
            for slice in [
                record.type, record.source, record.subject, record.id, record.attributes, record.data,
            ] {
                check(slice.range.upperBound <= whole.bytes.count, "slices lie in the arena")
            }
        }
    }

    private static func decode(_ bytes: [UInt8], _ next: (Int) -> Int) -> EventArena {
        var limits = EventLimits()
        limits.eventBytesMax = 4_096
        var lines = EventLines(decoder: EventDecoder(limits: limits))
        var context = DecodeContext(receivedAt: 1_790_000_000_000_000, ids: UUIDv7Generator(seed: 1))
        var arena = EventArena()
        var done = 0
        while done < bytes.count {
            let end = done + next(bytes.count - done)
            let piece = Array(bytes[done..<end])
            var offset = 0
            lines.decode(piece.span, from: &offset, context: &context, into: &arena)
            done = end
        }
        lines.finish(context: &context, into: &arena)
        return arena
    }
}
