import Events
import HTTP
import Postgres

/// Turns the rows of a flush into COPY payloads, SQL and job lines.
struct FlushEncoder {
    let plan: FlushPlan
    /// What is written now: all of the plan's rows, or a part when a row that PostgreSQL refuses is searched
    /// for.
    let rows: [FlushRow]
    /// The first row's seq; the others follow in order.
    let firstSeq: Int64

    static let eventColumns =
        "key, ts, received_at, type, source, subject, id, attributes, data, data_bytes, seq, bucket"
    static let eventTypes: [PostgresType] = [
        .uuid, .timestamptz, .timestamptz, .text, .text, .text, .text, .jsonb, .jsonb, .bytea, .int8, .int2,
    ]
    static let rejectColumns =
        "received_at, id, code, pointer, detail, raw, request_id, strict, default_source, key_id"

    /// The rows as a binary COPY payload; for `staging` with the column `undated` at the end.
    func events(forStaging: Bool) -> CopyStream {
        var encoder = RowEncoder(columns: forStaging ? 13 : 12, capacity: capacity)
        append(to: &encoder, forStaging: forStaging)
        return encoder.finish()
    }

    /// The rows as one array a column.
    func eventArrays() -> [BinaryValue] {
        var encoder = RowEncoder(arraysOf: Self.eventTypes, capacity: capacity)
        append(to: &encoder, forStaging: false)
        return encoder.finishArrays()
    }

    private var capacity: Int { plan.byteCount + rows.count * 200 + 64 }

    private func append(to encoder: inout RowEncoder, forStaging: Bool) {
        for (offset, row) in rows.enumerated() {
            append(row, seq: firstSeq + Int64(offset), to: &encoder)
            if forStaging { encoder.append(bool: row.isUndated) }
        }
    }

    private func append(_ row: FlushRow, seq: Int64, to encoder: inout RowEncoder) {
        let submission = plan.submissions[row.submission]
        let event = submission.arena.records[submission.events[row.event].record]
        let bytes = submission.arena.bytes.span
        encoder.beginRow()
        encoder.append(uuid: row.key)
        encoder.append(timestamp: row.ts)
        encoder.append(timestamp: submission.receivedAt(of: submission.events[row.event]))
        encoder.append(text: bytes.extracting(event.type.range))
        encoder.append(text: bytes.extracting(event.source.range))
        if event.subject.isAbsent {
            encoder.appendNull()
        } else {
            encoder.append(text: bytes.extracting(event.subject.range))
        }
        if event.idIsGenerated {
            encoder.appendNull()
        } else {
            encoder.append(text: bytes.extracting(event.id.range))
        }
        for json in [event.attributes, event.data] {
            if json.isAbsent {
                encoder.appendNull()
            } else {
                encoder.append(jsonb: bytes.extracting(json.range))
            }
        }
        if event.dataBytes.isAbsent {
            encoder.appendNull()
        } else {
            encoder.append(bytea: bytes.extracting(event.dataBytes.range))
        }
        encoder.append(int64: seq)
        encoder.append(int16: EventKey.bucket(of: row.key))
    }

    /// The submissions' rejections, and those of refused rows, as a binary COPY payload.
    func rejects() -> CopyStream {
        var encoder = RowEncoder(columns: 10, capacity: 4096)
        for submission in plan.submissions {
            for rejection in submission.rejections { Self.append(rejection, of: submission, to: &encoder) }
        }
        for (rejection, submission) in plan.refusals { Self.append(rejection, of: submission, to: &encoder) }
        return encoder.finish()
    }

    private static func append(
        _ rejection: Rejection,
        of submission: Submission,
        to encoder: inout RowEncoder
    ) {
        encoder.beginRow()
        encoder.append(timestamp: submission.receivedAt)
        // What was refused may hold what a text column cannot.
        if let id = rejection.id, !id.utf8.contains(0) {
            encoder.append(text: id)
        } else {
            encoder.appendNull()
        }
        encoder.append(text: rejection.code.rawValue)
        encoder.append(text: Self.storable(rejection.pointer))
        encoder.append(text: Self.storable(rejection.detail))
        encoder.append(bytea: rejection.raw.span)
        encoder.append(text: submission.requestID.text)
        encoder.append(bool: submission.decoding.isStrict)
        if let source = submission.decoding.defaultSource {
            encoder.append(text: source)
        } else {
            encoder.appendNull()
        }
        if let key = submission.sender { encoder.append(int64: key) } else { encoder.appendNull() }
    }

    private static func storable(_ text: String) -> String {
        text.utf8.contains(0) ? String(text.map { $0 == "\0" ? "\u{FFFD}" : $0 }) : text
    }

    /// The stored rows as job lines: what the analytics worker reads (NDJSON, one event a line).
    func jobLines(stored: (FlushRow) -> Bool) -> [UInt8] {
        var lines: [UInt8] = []
        lines.reserveCapacity(plan.byteCount + rows.count * 32)
        for row in rows where stored(row) {
            let submission = plan.submissions[row.submission]
            let event = submission.arena.records[submission.events[row.event].record]
            let bytes = submission.arena.bytes.span
            lines.append(contentsOf: Self.timeKey)
            lines.appendDecimal(Int(row.ts))
            lines.append(contentsOf: Self.typeKey)
            JSONString.append(bytes.extracting(event.type.range), to: &lines)
            lines.append(contentsOf: Self.sourceKey)
            JSONString.append(bytes.extracting(event.source.range), to: &lines)
            if !event.subject.isAbsent {
                lines.append(contentsOf: Self.subjectKey)
                JSONString.append(bytes.extracting(event.subject.range), to: &lines)
            }
            if !event.data.isAbsent {
                lines.append(contentsOf: Self.dataKey)
                lines.append(onOneLine: bytes.extracting(event.data.range))
            }
            lines.append(UInt8(ascii: "}"))
            lines.append(UInt8(ascii: "\n"))
        }
        return lines
    }

    private static let timeKey = Array(#"{"ts":"#.utf8)
    private static let typeKey = Array(#","type":"#.utf8)
    private static let sourceKey = Array(#","source":"#.utf8)
    private static let subjectKey = Array(#","subject":"#.utf8)
    private static let dataKey = Array(#","data":"#.utf8)
}

extension [UInt8] {
    /// Appends JSON text; its line breaks, which can only stand between tokens, become spaces.
    fileprivate mutating func append(onOneLine json: Span<UInt8>) {
        append(addingCapacity: json.count) { room in
            for index in json.indices {
                let byte = json[index]
                room.append(
                    byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") ? UInt8(ascii: " ") : byte
                )
            }
        }
    }
}
