import Events
import HTTP

/// One row of the table `rejects`: an event that was refused, as it came.
struct StoredReject: Equatable, Sendable {
    let n: Int64
    let code: String
    let pointer: String
    let detail: String
    /// The event's id, when one could be read.
    let id: String?
    /// Microseconds since 1970.
    let receivedAt: Int64
    let requestID: String
    /// The number of the key that it came with.
    let keyID: Int64?
    let raw: [UInt8]

    /// What a SELECT has to ask for.
    static let columns = """
        n, code, pointer, detail, id, (extract(epoch FROM received_at) * 1000000)::bigint, \
        request_id, key_id, raw
        """

    init(_ values: [String?]) throws(ReadError) {
        var row = ReadRow(values)
        n = try row.integer()
        code = try row.string()
        pointer = try row.string()
        detail = try row.string()
        id = try row.text()
        receivedAt = try row.integer()
        requestID = try row.string()
        keyID = try row.text().flatMap { Int64($0) }
        raw = try row.bytes() ?? []
    }

    var cursor: RejectCursor { RejectCursor(receivedAt: receivedAt, n: n) }

    /// Writes it as `/v1/rejects` lists it.
    func write(to writer: inout JSONWriter) {
        writer.beginObject()
        writer.member("n", n)
        writer.member("code", code)
        writer.member("pointer", pointer)
        writer.member("detail", detail)
        writer.member("id", id)
        writer.member("received_at", time: receivedAt)
        writer.member("request_id", requestID)
        writer.member("key_id", keyID)
        writer.member(raw: raw)
        writer.endObject()
    }

    /// Writes it as the receipt of an event.
    func writeReceipt(to writer: inout JSONWriter) {
        RejectReceipt(
            id: id,
            receivedAt: receivedAt,
            code: code,
            pointer: pointer,
            detail: detail,
            raw: raw
        ).write(to: &writer)
    }
}

/// What the receipt of an event that was refused says.
struct RejectReceipt: Equatable, Sendable {
    let id: String?
    /// Microseconds since 1970.
    let receivedAt: Int64
    let code: String
    let pointer: String
    let detail: String
    let raw: [UInt8]

    func write(to writer: inout JSONWriter) {
        writer.beginObject()
        writer.member("id", id)
        writer.member("received_at", time: receivedAt)
        writer.member("verdict", "rejected")
        writer.key("error")
        writer.beginObject()
        writer.member("code", code)
        writer.member("pointer", pointer)
        writer.member("detail", detail)
        writer.endObject()
        writer.member(raw: raw)
        writer.endObject()
    }
}

extension RejectReceipt {
    /// The same for one that is not among the rejects yet.
    init(_ rejection: Rejection, receivedAt: Int64) {
        self.init(
            id: rejection.id,
            receivedAt: receivedAt,
            code: rejection.code.rawValue,
            pointer: rejection.pointer,
            detail: rejection.detail,
            raw: rejection.raw
        )
    }
}

extension JSONWriter {
    /// What came, byte for byte: as text where it is UTF-8.
    fileprivate mutating func member(raw: [UInt8]) {
        if UTF8Check.firstInvalid(in: raw.span) == nil {
            key("raw")
            string(utf8: raw.span)
        } else {
            var text: [UInt8] = []
            Base64.append(raw.span, to: &text)
            key("raw_base64")
            string(utf8: text.span)
        }
    }
}
