/// Swift source in which everything that is no code is blank: comments, the text of strings, quoted
/// identifiers.
///
/// Lines and columns stay where they were. Code inside of string interpolations is kept. A heuristic, but for
/// regex literals a faithful one.
struct CodeText {
    private let source: [UInt8]
    private(set) var bytes: [UInt8]
    private var index = 0

    init(_ source: [UInt8]) {
        self.source = source
        bytes = source
        while index < source.count { scanCode(isInterpolation: false) }
    }

    /// Up to the end, or to the parenthesis that closes an interpolation.
    private mutating func scanCode(isInterpolation: Bool) {
        var depth = 0
        while index < source.count {
            let byte = source[index]
            if starts("//") {
                blank { $0.source[$0.index] == UInt8(ascii: "\n") }
            } else if starts("/*") {
                scanBlockComment()
            } else if let pounds = poundsBeforeQuote() {
                scanString(pounds: pounds)
            } else if byte == UInt8(ascii: "`") {
                index += 1
                blank { $0.starts("`") || $0.starts("\n") }
                index += 1
            } else {
                if byte == UInt8(ascii: "(") { depth += 1 }
                if byte == UInt8(ascii: ")") { depth -= 1 }
                if depth < 0, isInterpolation { return }
                index += 1
            }
        }
    }

    private mutating func scanBlockComment() {
        var depth = 0
        repeat {
            if starts("/*") {
                depth += 1
                blank(2)
            } else if starts("*/") {
                depth -= 1
                blank(2)
            } else {
                blank(1)
            }
        } while depth > 0 && index < source.count
    }

    private mutating func scanString(pounds: Int) {
        let fence = String(repeating: "#", count: pounds)
        index += pounds
        let isMultiline = starts("\"\"\"")
        let quote = isMultiline ? "\"\"\"" : "\""
        index += quote.utf8.count
        while index < source.count {
            if starts(quote + fence) {
                index += quote.utf8.count + pounds
                return
            }
            if starts("\n"), !isMultiline { return }
            if starts("\\" + fence + "(") {
                blank(pounds + 2)
                scanCode(isInterpolation: true)
                blank(1)
            } else if starts("\\" + fence) {
                blank(pounds + 2)
            } else {
                blank(1)
            }
        }
    }

    /// How many `#` stand before a quotation mark here, if one follows.
    private func poundsBeforeQuote() -> Int? {
        var end = index
        while end < source.count, source[end] == UInt8(ascii: "#") { end += 1 }
        return end < source.count && source[end] == UInt8(ascii: "\"") ? end - index : nil
    }

    private func starts(_ text: String) -> Bool {
        var position = index
        for byte in text.utf8 {
            guard position < source.count, source[position] == byte else { return false }
            position += 1
        }
        return true
    }

    private mutating func blank(until isEnd: (CodeText) -> Bool) {
        while index < source.count, !isEnd(self) { blank(1) }
    }

    private mutating func blank(_ count: Int) {
        for _ in 0..<count where index < source.count {
            if source[index] != UInt8(ascii: "\n") { bytes[index] = UInt8(ascii: " ") }
            index += 1
        }
    }
}
