import Events
import HTTP
import Postgres

/// Writes events page by page as lines of JSON or as a table of comma-separated values (RFC 4180).
struct EventExport {
    enum Format: Equatable, Sendable {
        case lines
        case table

        var contentType: String {
            switch self {
            case .lines: "application/x-ndjson"
            case .table: "text/csv; charset=utf-8; header=present"
            }
        }
    }

    private let format: Format
    private var pager: EventPager
    private var hasBegun = false

    init(_ filter: EventFilter, as format: Format, reader: PostgresPool, limits: InsightLimits) {
        self.format = format
        pager = EventPager(filter, after: nil, reader: reader, limits: limits)
    }

    /// The next piece; `nil` at the end.
    mutating func next() async throws(ReadError) -> [UInt8]? {
        if hasBegun, pager.isAtEnd { return nil }
        let events = try await pager.next()
        defer { hasBegun = true }
        switch format {
        case .lines: return Self.lines(events)
        case .table:
            let header = "id,source,type,subject,time,received_at,data\r\n"
            return (hasBegun ? [] : Array(header.utf8)) + Self.table(events)
        }
    }

    static func lines(_ events: [StoredEvent]) -> [UInt8] {
        var writer = JSONWriter()
        for event in events {
            event.write(to: &writer)
            writer.lineFeed()
        }
        return writer.finish()
    }

    static func table(_ events: [StoredEvent]) -> [UInt8] {
        var output: [UInt8] = []
        for event in events {
            cell(event.id, to: &output)
            output.append(UInt8(ascii: ","))
            cell(event.source, to: &output)
            output.append(UInt8(ascii: ","))
            cell(event.type, to: &output)
            output.append(UInt8(ascii: ","))
            cell(event.subject ?? "", to: &output)
            output.append(UInt8(ascii: ","))
            Timestamp.append(event.time, to: &output)
            output.append(UInt8(ascii: ","))
            Timestamp.append(event.receivedAt, to: &output)
            output.append(UInt8(ascii: ","))
            cell(event.data ?? event.base64 ?? "", to: &output)
            output.append(contentsOf: "\r\n".utf8)
        }
        return output
    }

    /// Quoted only where it must be.
    private static func cell(_ text: String, to output: inout [UInt8]) {
        let isPlain = text.utf8.allSatisfy { $0 != 0x22 && $0 != 0x2C && $0 != 0x0A && $0 != 0x0D }
        if isPlain {
            output.append(contentsOf: text.utf8)
            return
        }
        output.append(0x22)
        for byte in text.utf8 {
            if byte == 0x22 { output.append(0x22) }
            output.append(byte)
        }
        output.append(0x22)
    }
}
