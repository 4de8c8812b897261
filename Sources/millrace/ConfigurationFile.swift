import Reactor

/// The file of `--config`: a line a setting, `name = value`; `#` begins a line that says nothing.
struct ConfigurationFile: Equatable, Sendable {
    struct Entry: Equatable, Sendable {
        let value: String
        let line: Int
    }

    let path: String
    let entries: [Setting: Entry]

    static let bytesMax = 1 << 20

    init(path: String) throws(ConfigurationError) {
        let bytes: [UInt8]
        do throws(SystemError) {
            var reader = try FileReader(path: path)
            bytes = try reader.readAll(bytesMax: Self.bytesMax)
        } catch {
            throw .unreadableFile(path: path, reason: error.description)
        }
        try self.init(path: path, text: String(decoding: bytes, as: UTF8.self))
    }

    init(path: String, text: String) throws(ConfigurationError) {
        var entries: [Setting: Entry] = [:]
        // By bytes: CR LF is one Character.
        for (index, bytes) in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .enumerated()
        {
            let line = Substring(bytes).trimmed
            if line.isEmpty || line.hasPrefix("#") { continue }
            let number = index + 1
            guard let equals = line.firstIndex(of: "=") else {
                throw .malformedLine(path: path, line: number)
            }
            let key = String(line[..<equals].trimmed)
            guard let setting = Setting(rawValue: key) else {
                throw .unknownKey(key, path: path, line: number)
            }
            if entries[setting] != nil { throw .repeatedKey(key, path: path, line: number) }
            entries[setting] = Entry(value: String(line[line.index(after: equals)...].trimmed), line: number)
        }
        self.path = path
        self.entries = entries
    }
}

extension Substring {
    /// Without the blanks at its ends.
    var trimmed: Substring {
        let start = self.drop(while: \.isWhitespace)
        guard let last = start.lastIndex(where: { !$0.isWhitespace }) else { return start }
        return start[...last]
    }
}
