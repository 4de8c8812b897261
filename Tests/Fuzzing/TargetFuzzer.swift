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
        _ = RequestID(client: bytes.span)?.text
    }
}
