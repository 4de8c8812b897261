/// The event stream format of the HTML standard (9.2.5), for the live tail and the live statistics.
package enum ServerSentEvent {
    /// Appends one event; each line of `data` becomes a field of its own.
    package static func append(
        id: String? = nil,
        event: String? = nil,
        data: Span<UInt8>,
        to output: inout [UInt8]
    ) {
        if let id { append("id: ", line: id, to: &output) }
        if let event { append("event: ", line: event, to: &output) }
        output.append(contentsOf: "data: ".utf8)
        var start = 0
        var index = 0
        while index < data.count {
            let byte = data[index]
            index += 1
            guard byte == .lineFeed || byte == .carriageReturn else { continue }
            output.append(copying: data.extracting(start..<index - 1))
            output.append(contentsOf: "\ndata: ".utf8)
            // CR LF is one line end.
            if byte == .carriageReturn, index < data.count, data[index] == .lineFeed { index += 1 }
            start = index
        }
        output.append(copying: data.extracting(start..<data.count))
        output.append(contentsOf: "\n\n".utf8)
    }

    /// Appends a comment, which keeps a silent stream from being taken for dead.
    package static func appendComment(_ text: String, to output: inout [UInt8]) {
        append(": ", line: text, to: &output)
        output.append(.lineFeed)
    }

    /// An id or a name is one line: line ends in it become spaces, and a NUL would make clients drop the id.
    private static func append(_ field: String, line: String, to output: inout [UInt8]) {
        output.append(contentsOf: field.utf8)
        for byte in line.utf8 {
            output.append(byte == .lineFeed || byte == .carriageReturn || byte == 0 ? .space : byte)
        }
        output.append(.lineFeed)
    }
}
