import HTTP

/// Compresses answers where that pays: text of some length, for clients that ask for it (RFC 9110 12.5.3).
enum ResponseCoding {
    /// Below, the packets that are saved are none.
    static let bytesMin = 1_024
    /// Above, compressing would hold up the loop's other connections for milliseconds.
    static let bytesMax = 256 << 10

    /// The answer as `head` wants it.
    static func apply(to response: Response, for head: RequestHead, _ io: ConnectionIO) -> Response {
        if case .stream = response.body { return applyToStream(response, for: head, io) }
        guard case .bytes(let bytes) = response.body, bytesMin...bytesMax ~= bytes.count,
            let type = response.contentType, isText(type), response.status != 204, response.status != 304,
            !response.fields.contains(where: { isExcluded($0.0, $0.1) })
        else { return response }
        var coded = response
        // Whoever keeps a copy has to know that it depends on the question.
        coded.fields.append(("Vary", "Accept-Encoding"))
        guard let accepted = head.list(.acceptEncoding),
            ContentCoding.acceptsGzip(accepted.span),
            let compressed = response.gzipped ?? Gzip.compress(bytes, level: Gzip.fastest)
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

    /// A stream is coded as it is written; not one of events or acknowledgements, which are short and shall
    /// not wait.
    ///
    /// Streamed answers are exports: they repeat nothing of the question beside a secret, so that their
    /// length tells nothing, and `no-store` does not exclude them.
    private static func applyToStream(
        _ response: Response,
        for head: RequestHead,
        _ io: ConnectionIO
    ) -> Response {
        guard let type = response.contentType, isText(type), !response.readsBody,
            !response.fields.contains(where: { $0.0 == "Content-Encoding" })
        else { return response }
        var coded = response
        coded.fields.append(("Vary", "Accept-Encoding"))
        guard let accepted = head.list(.acceptEncoding), ContentCoding.acceptsGzip(accepted.span),
            io.holdCoder()
        else { return coded }
        coded.fields.append(("Content-Encoding", "gzip"))
        coded.isCoded = true
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
}
