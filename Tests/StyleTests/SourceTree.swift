import Foundation

/// A breach of a house rule, and where.
struct Finding: Equatable, CustomStringConvertible {
    let path: String
    var line: Int?
    let message: String

    var description: String { line.map { "\(path):\($0): \(message)" } ?? "\(path): \(message)" }
}

/// One Swift file, with its path from the root of the tree.
struct SourceFile {
    let path: String
    let bytes: [UInt8]
    /// The same bytes without comments and texts.
    let code: [UInt8]

    init(path: String, text: String) {
        self.path = path
        bytes = Array(text.utf8)
        code = CodeText(bytes).bytes
    }

    /// The folder below `Sources`, or nil.
    var target: String? {
        let parts = path.split(separator: "/")
        return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : nil
    }

    var lines: [Substring] { text(bytes).split(separator: "\n", omittingEmptySubsequences: false) }
    var codeLines: [Substring] { text(code).split(separator: "\n", omittingEmptySubsequences: false) }

    func lineNumber(at offset: Int) -> Int {
        bytes[..<offset].count { $0 == UInt8(ascii: "\n") } + 1
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}

/// The tree that this file is compiled from.
enum SourceTree {
    static let root = URL(filePath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static let files = (paths(below: "Sources") + paths(below: "Tests")).filter { $0.hasSuffix(".swift") }
        .map { SourceFile(path: $0, text: text(of: $0)) }

    static var sources: [SourceFile] { files.filter { $0.path.hasPrefix("Sources/") } }
    static var tests: [SourceFile] { files.filter { $0.path.hasPrefix("Tests/") } }

    static func text(of path: String) -> String {
        let data = FileManager.default.contents(
            atPath: root.appending(path: path).path(percentEncoded: false)
        )
        return String(decoding: data ?? Data(), as: UTF8.self)
    }

    static func entries(of folder: String) -> [String] {
        let path = root.appending(path: folder).path(percentEncoded: false)
        // A folder that is not there has no entries; the tests see to it that the tree is not empty.
        return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }

    /// Files and folders at any depth, hidden ones left out.
    static func paths(below folder: String) -> [String] {
        entries(of: folder).filter { !$0.hasPrefix(".") }.flatMap { name in
            ["\(folder)/\(name)"] + paths(below: "\(folder)/\(name)")
        }
    }
}

extension [Finding] {
    /// One line each, for a failure's message.
    var report: String { map(\.description).joined(separator: "\n") }
}
