/// The decoded `name=value` pairs of a query, in order.
package struct QueryItems: Equatable, Sendable {
    /// One pair; the value is empty where there is no `=`.
    package struct Item: Equatable, Sendable {
        package let name: String
        package let value: String
    }

    package let items: [Item]

    /// No items, for a target without a query.
    package init() { items = [] }

    /// Decodes `a=1&b=x+y&c`; `+` is a space, and empty pairs are skipped.
    package init(_ query: Span<UInt8>) throws(TargetError) {
        var items: [Item] = []
        var start = 0
        while start < query.count {
            var (end, separator) = (start, -1)
            while end < query.count, query[end] != UInt8(ascii: "&") {
                if separator < 0, query[end] == UInt8(ascii: "=") { separator = end }
                end += 1
            }
            if end > start {
                let nameEnd = separator < 0 ? end : separator
                let valueStart = separator < 0 ? end : separator + 1
                items.append(
                    Item(
                        name: try percentDecoded(query, start..<nameEnd, plusIsSpace: true),
                        value: try percentDecoded(query, valueStart..<end, plusIsSpace: true)
                    )
                )
            }
            start = end + 1
        }
        self.items = items
    }

    /// The first value of that name.
    package subscript(_ name: String) -> String? { items.first { $0.name == name }?.value }

    /// All values of that name.
    package func all(_ name: String) -> [String] { items.filter { $0.name == name }.map(\.value) }
}
