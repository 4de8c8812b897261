/// Steps of a JSON pointer.
enum JSONPointer {
    /// Appends a step to `pointer`, `~` and `/` escaped as in RFC 6901, section 3.
    static func append(_ name: Span<UInt8>, to pointer: inout [UInt8]) {
        pointer.append(UInt8(ascii: "/"))
        for index in name.indices {
            switch name[index] {
            case UInt8(ascii: "~"): pointer.append(ascii: "~0")
            case UInt8(ascii: "/"): pointer.append(ascii: "~1")
            default: pointer.append(name[index])
            }
        }
    }
}

/// Finds the numbers in an event's `data`, for the statistics of its fields.
///
/// Objects are entered, arrays are not. A `data` that is itself a number has the empty pointer. Text that is
/// not JSON ends the walk where it stops being JSON.
package struct NumericFields: Sendable {
    /// Objects within objects, `data` itself being level 1.
    package var depthMax = 8
    package var fieldsMax = 64
    /// Longer pointers are passed over: a name may be as long as an event.
    package var pointerBytesMax = 256
    private let scanner = JSONScanner()

    package init() {}

    /// Calls `body` with the JSON pointer and the value of each number, in the order of the text.
    package func forEach(in data: Span<UInt8>, _ body: (Span<UInt8>, Double) -> Void) {
        var walk = Walk()
        var index = 0
        _ = data.skipSpace(&index)
        // An error only says that the text was not a validated one.
        _ = try? visit(data, at: index, depth: 1, &walk, body)
    }

    private struct Walk {
        var pointer: [UInt8] = []
        var fields = 0
        var findings = JSONFindings()
    }

    /// Returns the index after the value at `start`; the recursion is bounded by ``depthMax``.
    private func visit(
        _ text: Span<UInt8>,
        at start: Int,
        depth: Int,
        _ walk: inout Walk,
        _ body: (Span<UInt8>, Double) -> Void
    ) throws(JSONSyntaxError) -> Int {
        let first = text.byte(at: start)
        if first == .braceOpen, depth <= depthMax, walk.fields < fieldsMax {
            return try visitMembers(text, from: start &+ 1, depth: depth, &walk, body)
        }
        let end = try scanner.skipValue(text, from: start, level: 1, &walk.findings)
        let isNumber = first.isDigit || first == UInt8(ascii: "-")
        if isNumber, walk.fields < fieldsMax, walk.pointer.count <= pointerBytesMax,
            let value = JSONNumber.double(text, in: start..<end)
        {
            walk.fields += 1
            body(walk.pointer.span, value)
        }
        return end
    }

    private func visitMembers(
        _ text: Span<UInt8>,
        from start: Int,
        depth: Int,
        _ walk: inout Walk,
        _ body: (Span<UInt8>, Double) -> Void
    ) throws(JSONSyntaxError) -> Int {
        var index = start
        if text.skipSpace(&index) == .braceClose { return index &+ 1 }
        while true {
            let nameStart = index &+ 1
            walk.findings.hasEscapes = false
            let valueStart = try scanner.skipKey(text, from: index, &walk.findings)
            let first = text.byte(at: valueStart)
            if first == .braceOpen || first == UInt8(ascii: "-") || first.isDigit {
                let parent = walk.pointer.count
                appendStep(text, from: nameStart, &walk)
                index = try visit(text, at: valueStart, depth: depth + 1, &walk, body)
                walk.pointer.removeLast(walk.pointer.count - parent)
            } else {
                index = try scanner.skipValue(text, from: valueStart, level: 1, &walk.findings)
            }
            let next = text.skipSpace(&index)
            index &+= 1
            if next == .braceClose { return index }
            guard next == .comma else { throw JSONSyntaxError(offset: index &- 1) }
            _ = text.skipSpace(&index)
        }
    }

    /// Appends the name whose first character is at `start`.
    private func appendStep(_ text: Span<UInt8>, from start: Int, _ walk: inout Walk) {
        var end = start
        while text.byte(at: end) != .quote {
            end &+= text.byte(at: end) == .backslash ? 2 : 1
        }
        if !walk.findings.hasEscapes {
            JSONPointer.append(text.extracting(start..<end), to: &walk.pointer)
            return
        }
        var name: [UInt8] = []
        JSONString.appendUnescaped(text, in: start..<end, to: &name)
        JSONPointer.append(name.span, to: &walk.pointer)
    }
}
