import Events
import HTTP

/// The answer to a writing request, gathered as its events are decoded and stored.
///
/// `received = stored + duplicates + rejected`, always.
struct IngestAnswer: Sendable {
    /// Where the events are; the later, the less is promised.
    enum Durability: String, Comparable {
        case committed, spooled, none

        static func < (left: Durability, right: Durability) -> Bool {
            left == .committed && right != .committed || left == .spooled && right == .none
        }
    }

    /// The least of all that was added.
    private(set) var durability = Durability.committed
    private(set) var stored = 0
    private(set) var duplicates = 0
    private(set) var rejected = 0
    private var ids: [[UInt8]] = []
    private var idsOmitted = false
    private var errors: [Rejection] = []
    private var verdicts: [(index: Int32, id: [UInt8], result: StaticString)] = []
    private let listsVerdicts: Bool
    private var verdictsOmitted = false

    /// Errors that are listed; more are counted only.
    static let errorsMax = 100
    /// Generated ids and verdicts that are listed; a streamed body may have millions.
    static let idsMax = 100_000

    init(listsVerdicts: Bool) {
        self.listsVerdicts = listsVerdicts
    }

    var received: Int { stored + duplicates + rejected }

    /// Whether nothing of it was right: answered with 422.
    var isRefused: Bool { rejected > 0 && stored == 0 && duplicates == 0 }

    /// Counts an arena that was kept.
    mutating func add(_ arena: EventArena, _ kept: Kept) {
        durability = max(durability, kept.durability)
        add(arena, verdicts: kept.verdicts)
    }

    /// Counts an arena whose records have these verdicts.
    mutating func add(_ arena: EventArena, verdicts answers: [Verdict]) {
        var refusals = arena.rejections
        for (event, verdict) in zip(arena.records, answers) {
            switch verdict {
            case .stored:
                stored += 1
                if event.idIsGenerated { note(id: Array(arena.bytes[event.id.range])) }
                note(event, in: arena, "stored")
            case .spooled:
                stored += 1
                if event.idIsGenerated { note(id: Array(arena.bytes[event.id.range])) }
                note(event, in: arena, "spooled")
            case .duplicate:
                duplicates += 1
                note(event, in: arena, "duplicate")
            case .refused(let sqlState):
                refusals.append(RefusedEvent.rejection(of: event, in: arena, sqlState: sqlState))
            case .aborted: refusals.append(RefusedEvent.abortion(of: event, in: arena))
            }
        }
        rejected += refusals.count
        let room = Self.errorsMax + 1 - errors.count
        if room > 0, !refusals.isEmpty {
            refusals.sort { $0.index < $1.index }
            errors.append(contentsOf: refusals.prefix(room))
        }
        if listsVerdicts {
            for refusal in refusals { note(refusal.index, Array((refusal.id ?? "").utf8), "rejected") }
        }
    }

    private mutating func note(id: [UInt8]) {
        if ids.count < Self.idsMax { ids.append(id) } else { idsOmitted = true }
    }

    private mutating func note(_ event: EventRecord, in arena: EventArena, _ result: StaticString) {
        if listsVerdicts { note(event.index, Array(arena.bytes[event.id.range]), result) }
    }

    private mutating func note(_ index: Int32, _ id: [UInt8], _ result: StaticString) {
        if verdicts.count < Self.idsMax {
            verdicts.append((index, id, result))
        } else {
            verdictsOmitted = true
        }
    }

    /// The answer as JSON; `isDone` is set for the last line of a streamed one.
    func json(_ durability: Durability, isDone: Bool? = nil) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(128 + ids.count * 40)
        var json = JSONWriter(text)
        json.beginObject()
        if let isDone { json.member("done", isDone) }
        json.member("received", received)
        json.member("stored", stored)
        json.member("duplicates", duplicates)
        json.member("rejected", rejected)
        json.member("durability", durability.rawValue)
        if !ids.isEmpty {
            json.key("ids")
            json.beginArray()
            for id in ids { json.string(utf8: id.span) }
            json.endArray()
            if idsOmitted { json.member("ids_truncated", true) }
        }
        if !errors.isEmpty { write(errors.prefix(Self.errorsMax), to: &json) }
        if errors.count > Self.errorsMax { json.member("errors_truncated", true) }
        if listsVerdicts { writeVerdicts(to: &json) }
        if verdictsOmitted { json.member("verdicts_truncated", true) }
        json.endObject()
        return json.finish()
    }

    private func write(_ errors: ArraySlice<Rejection>, to json: inout JSONWriter) {
        json.key("errors")
        json.beginArray()
        for error in errors {
            json.beginObject()
            json.member("index", Int(error.index))
            if let id = error.id { json.member("id", id) }
            json.member("code", error.code.rawValue)
            json.member("pointer", error.pointer)
            json.member("detail", error.detail)
            json.endObject()
        }
        json.endArray()
    }

    private func writeVerdicts(to json: inout JSONWriter) {
        json.key("verdicts")
        json.beginArray()
        for verdict in verdicts.sorted(by: { $0.index < $1.index }) {
            json.beginObject()
            json.member("index", Int(verdict.index))
            if !verdict.id.isEmpty {
                json.key("id")
                json.string(utf8: verdict.id.span)
            }
            json.member("result", "\(verdict.result)")
            json.endObject()
        }
        json.endArray()
    }

    /// A line of a streamed answer: the counts since the start, after so many physical lines.
    func progressLine(line: Int) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.member("line", line)
        json.member("stored", stored)
        json.member("duplicates", duplicates)
        json.member("rejected", rejected)
        json.endObject()
        return json.finish() + [UInt8(ascii: "\n")]
    }
}
