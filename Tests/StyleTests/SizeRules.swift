/// How long files, functions and lines may be.
enum SizeRules {
    static let fileLinesMax = 400
    static let functionLinesMax = 60
    static let lineCharactersMax = 110

    static func findings(in file: SourceFile) -> [Finding] {
        var lines = file.lines
        if lines.last == "" { lines.removeLast() }
        var findings: [Finding] = []
        if lines.count > fileLinesMax {
            findings.append(
                Finding(path: file.path, message: "\(lines.count) lines, \(fileLinesMax) are allowed")
            )
        }
        for (index, line) in lines.enumerated() where line.count > lineCharactersMax {
            findings.append(Finding(path: file.path, line: index + 1, message: "\(line.count) characters"))
        }
        for function in functions(of: file) where function.lineCount > functionLinesMax {
            let message = "a function of \(function.lineCount) lines, \(functionLinesMax) are allowed"
            findings.append(Finding(path: file.path, line: function.line, message: message))
        }
        return findings
    }

    struct Function: Equatable {
        let line: Int
        let lineCount: Int
    }

    /// Every function, initializer, subscript and computed property with a body.
    static func functions(of file: SourceFile) -> [Function] {
        let code = file.code
        var functions: [Function] = []
        var (index, line) = (0, 1)
        while index < code.count {
            if code[index] == UInt8(ascii: "\n") { line += 1 }
            if let keyword = keyword(at: index, in: code) {
                if let end = bodyEnd(from: index + keyword.utf8.count, isVariable: keyword == "var", in: code)
                {
                    let breaks = code[index..<end].count { $0 == UInt8(ascii: "\n") }
                    functions.append(Function(line: line, lineCount: breaks + 1))
                }
                index += keyword.utf8.count
            } else {
                index += 1
            }
        }
        return functions
    }

    private static func keyword(at index: Int, in code: [UInt8]) -> String? {
        // The previous byte rules out longer words and calls like `self.init(…)`.
        if index > 0, isWord(code[index - 1]) || code[index - 1] == UInt8(ascii: ".") { return nil }
        return ["func", "init", "deinit", "subscript", "var"].first { word in
            let end = index + word.utf8.count
            return end < code.count && code[index..<end].elementsEqual(word.utf8) && !isWord(code[end])
        }
    }

    /// Where the body ends whose declaration goes on at `start`; nil when it has none.
    private static func bodyEnd(from start: Int, isVariable: Bool, in code: [UInt8]) -> Int? {
        var depth = 0
        for index in start..<code.count {
            switch code[index] {
            case UInt8(ascii: "("), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: ")"), UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: "{") where depth == 0: return closingBrace(from: index, in: code)
            case UInt8(ascii: "}") where depth == 0: return nil
            case UInt8(ascii: "=") where depth == 0 && isVariable: return nil
            case UInt8(ascii: "\n") where depth == 0 && !isContinued(after: index, in: code): return nil
            default: break
            }
            if depth < 0 { return nil }
        }
        return nil
    }

    private static func closingBrace(from start: Int, in code: [UInt8]) -> Int {
        var depth = 0
        for index in start..<code.count {
            if code[index] == UInt8(ascii: "{") { depth += 1 }
            if code[index] == UInt8(ascii: "}") { depth -= 1 }
            if depth == 0 { return index }
        }
        return code.count
    }

    private static func isContinued(after index: Int, in code: [UInt8]) -> Bool {
        let rest = code[(index + 1)...].drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
        return ["where", "->", "async", "throws", "rethrows", "{"].contains { rest.starts(with: $0.utf8) }
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        let character = Character(UnicodeScalar(byte))
        return character.isLetter || character.isNumber || character == "_"
    }
}
