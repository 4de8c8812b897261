/// Words that are not to be in the tree.
enum WordRules {
    struct Ban {
        let word: String
        /// Longer words that begin like this are meant too.
        var isPrefix = false
        /// Comments and texts are searched as well.
        var isAnywhere = false
        /// Beginnings of paths where it is allowed.
        var allowed: [String] = []
    }

    /// The only places that handle memory and isolation by hand.
    private static let unsafePlaces = [
        "Sources/Reactor/", "Sources/Postgres/LibPQ.swift", "Sources/Server/Inflater.swift",
        "Sources/Server/Gzip.swift",
    ]

    static let inSources =
        ["TODO", "FIXME", "XXX"].map { Ban(word: $0, isAnywhere: true) }
        + ["try!", "fatalError(", "DispatchSemaphore"].map { Ban(word: $0) }
        + [Ban(word: "print(", allowed: ["Sources/millrace/"])]
        + ["@unchecked Sendable", "nonisolated(unsafe)", "Task.detached"].map {
            Ban(word: $0, allowed: unsafePlaces)
        }
        + ["UnsafeMutable", "UnsafePointer", "UnsafeRaw", "UnsafeBuffer"].map {
            Ban(word: $0, isPrefix: true, allowed: unsafePlaces)
        }
        // Not withUnsafeContinuation: it touches no memory, and is what a wait an event can afford.
        + ["Bytes", "Mutable", "Pointer", "Buffer", "Temporary"].map {
            Ban(word: "withUnsafe\($0)", isPrefix: true, allowed: unsafePlaces)
        }

    static let inTests = [Ban(word: "XCTSkip", isPrefix: true), Ban(word: ".disabled(")]

    static func findings(in file: SourceFile, bans: [Ban]) -> [Finding] {
        bans.filter { ban in !ban.allowed.contains { file.path.hasPrefix($0) } }.flatMap { ban in
            offsets(of: ban, in: ban.isAnywhere ? file.bytes : file.code).map { offset in
                Finding(
                    path: file.path,
                    line: file.lineNumber(at: offset),
                    message: "'\(ban.word)' is not used here"
                )
            }
        }
    }

    private static func offsets(of ban: Ban, in bytes: [UInt8]) -> [Int] {
        let word = Array(ban.word.utf8)
        guard let first = word.first, let last = word.last, bytes.count >= word.count else { return [] }
        return (0...bytes.count - word.count).filter { start in
            guard bytes[start] == first, bytes[start..<start + word.count].elementsEqual(word) else {
                return false
            }
            let end = start + word.count
            let beginsWord = start == 0 || !isLetter(first) || !isLetter(bytes[start - 1])
            let endsWord = ban.isPrefix || end == bytes.count || !isLetter(last) || !isLetter(bytes[end])
            return beginsWord && endsWord
        }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        let character = Character(UnicodeScalar(byte))
        return character.isLetter || character.isNumber || character == "_"
    }

    /// Folders and files named by kind and not by concern.
    static func findings(inPaths paths: [String]) -> [Finding] {
        paths.compactMap { path in
            let name = path.split(separator: "/").last?.split(separator: ".").first ?? ""
            guard let word = kindNames.first(where: { name.hasSuffix($0) }) else { return nil }
            return Finding(path: path, message: "'\(word)' says nothing about what is in it")
        }
    }

    private static let kindNames = ["Utils", "Helpers", "Common", "Models", "Extensions", "Manager"]
}
