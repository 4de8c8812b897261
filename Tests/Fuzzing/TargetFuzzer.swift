/// Paths, queries and header values: nothing traps, and nothing decodes to what it must not.
enum Fuzzer {
    static func run(_ bytes: [UInt8]) {
        if let segments = percentDecodedPath(bytes.span, allowingEncodedSlash: true) {
            check(!segments.contains(".") && !segments.contains(".."), "dot segments are gone")
        }
        if let items = try? QueryItems(bytes.span) {
            check(items.items.count <= bytes.count, "an item has a byte at least")
        }
        if let type = MediaType(bytes.span) {
            check(!type.essence.isEmpty && type.essence == type.essence.lowercased(), "types are lower case")
        }
        if let range = MediaType.essence(bytes.span) { check(range.upperBound <= bytes.count, "in range") }
        _ = ContentCoding.list(bytes.span)
        let commas = bytes.count { $0 == 0x2C }
        check(ForwardedNode.forwarded(bytes.span)?.count ?? 0 <= commas + 1, "a node is between commas")
        check(ForwardedNode.forwardedFor(bytes.span).count <= commas + 1, "a node is between commas")
        if let header = try? ProxyHeader.parse(bytes.span) {
            check(header.byteCount <= bytes.count, "a header is no longer than its bytes")
        }
        _ = RequestID(client: bytes.span)?.text
    }
}
