import HTTP

/// Compresses answers where that pays: text of some length, for clients that ask for it (RFC 9110 12.5.3).
enum ResponseCoding {
    /// Below, the packets that are saved are none.
    static let bytesMin = 1_024
    /// Above, compressing would hold up the loop's other connections for milliseconds.
    static let bytesMax = 256 << 10

    /// The answer as `head` wants it.
    static func apply(to response: Response, for head: RequestHead) -> Response {
        guard case .bytes(let bytes) = response.body, bytesMin...bytesMax ~= bytes.count,
            let type = response.contentType, isText(type), response.status != 204, response.status != 304,
            !response.fields.contains(where: { isExcluded($0.0, $0.1) })
        else { return response }
        var coded = response
        // Whoever keeps a copy has to know that it depends on the question.
        coded.fields.append(("Vary", "Accept-Encoding"))
        guard let accepted = head.list(.acceptEncoding),
            acceptsGzip(String(decoding: accepted, as: UTF8.self)),
            let compressed = Gzip.compress(bytes)
        else { return coded }
        coded.body = .bytes(compressed)
        coded.fields.append(("Content-Encoding", "gzip"))
        for index in coded.fields.indices where coded.fields[index].0 == "ETag" {
            // Other bytes of the same meaning (RFC 9110 8.8.3.3).
            let tag = coded.fields[index].1
            if !tag.hasPrefix("W/") { coded.fields[index].1 = "W/" + tag }
        }
        return coded
    }

    /// What is coded already, or is a secret: its length must not depend on what else the answer says.
    private static func isExcluded(_ name: String, _ value: String) -> Bool {
        name == "Content-Encoding" || name == "Cache-Control" && value.contains("no-store")
    }

    private static func isText(_ type: String) -> Bool {
        type.hasPrefix("text/") && !type.hasPrefix("text/event-stream") || type.hasPrefix("application/json")
            || type.hasPrefix("application/problem+json") || type.hasPrefix("application/x-ndjson")
            || type.hasPrefix("image/svg+xml")
    }

    /// Whether gzip is among the codings of an Accept-Encoding, or `*` is, with a weight other than 0.
    static func acceptsGzip(_ list: String) -> Bool {
        var others = false
        for item in list.lowercased().split(separator: ",") {
            let parts = item.split(separator: ";", maxSplits: 1).map { $0.filter { $0 != " " && $0 != "\t" } }
            // q=0, q=0.0 and so on: nothing but zeros behind the sign.
            let weight = parts.count > 1 ? parts[1].dropFirst(2) : "1"
            let isWanted = !weight.allSatisfy { $0 == "0" || $0 == "." }
            switch parts.first {
            case "gzip", "x-gzip": return isWanted
            case "*": others = isWanted
            default: break
            }
        }
        return others
    }
}
