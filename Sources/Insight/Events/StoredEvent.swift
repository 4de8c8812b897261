import Events
import HTTP

/// One row of the table `events`.
struct StoredEvent: Equatable, Sendable {
    let key: UInt128
    /// Microseconds since 1970.
    let time: Int64
    let receivedAt: Int64
    let type: String
    let source: String
    let subject: String?
    /// The id that the client sent, or the one that the server made.
    let id: String
    /// JSON text of an object.
    let attributes: String?
    /// JSON text.
    let data: String?
    let base64: String?

    /// What a SELECT has to ask for; extension attributes named like a member of the answer give way to it.
    static let columns = """
        key, (extract(epoch FROM ts) * 1000000)::bigint, \
        (extract(epoch FROM received_at) * 1000000)::bigint, \
        type, source, subject, coalesce(id, key::text), \
        attributes - '{id,source,type,subject,time,data,data_base64,received_at,verdict,error,raw}'::text[], \
        data, replace(encode(data_bytes, 'base64'), E'\\n', '')
        """

    init(_ values: [String?]) throws(ReadError) {
        var row = ReadRow(values)
        guard let key = parseUUID(Array(try row.string().utf8).span) else {
            throw .corrupt("a key is no UUID")
        }
        self.key = key
        time = try row.integer()
        receivedAt = try row.integer()
        type = try row.string()
        source = try row.string()
        subject = try row.text()
        id = try row.string()
        attributes = try row.text()
        data = try row.text()
        base64 = try row.text()
    }

    var cursor: EventCursor { EventCursor(time: time, key: key) }

    /// About how many bytes it takes in an answer.
    var byteCount: Int {
        192 + type.utf8.count + source.utf8.count + id.utf8.count + (subject?.utf8.count ?? 0)
            + (attributes?.utf8.count ?? 0) + (data?.utf8.count ?? 0) + (base64?.utf8.count ?? 0)
    }

    /// Writes it flat, with the verdict where a receipt is asked for.
    func write(to writer: inout JSONWriter, isReceipt: Bool = false) {
        writer.beginObject()
        writer.member("id", id)
        writer.member("source", source)
        writer.member("type", type)
        writer.member("subject", subject)
        writer.member("time", time: time)
        if let attributes { writer.members(of: Array(attributes.utf8)) }
        if let base64 {
            writer.member("data_base64", base64)
        } else {
            writer.key("data")
            if let data { writer.raw(Array(data.utf8)) } else { writer.null() }
        }
        writer.member("received_at", time: receivedAt)
        if isReceipt { writer.member("verdict", "stored") }
        writer.endObject()
    }
}
