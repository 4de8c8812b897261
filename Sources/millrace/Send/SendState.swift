import Crypto
import Events
import HTTP

/// What earlier runs have had acknowledged: for each file how far, by its absolute path.
///
/// As a text it is one line of JSON and one with the SHA-256 of the first, so that what is damaged is found
/// out: a wrong digit could leave out lines that nobody has.
struct SendState: Equatable, Sendable {
    struct File: Equatable, Sendable {
        let path: String
        var acknowledged: LinePosition
    }

    /// The server that has acknowledged all that; another has none of it.
    let server: String
    /// The one that was acknowledged last comes last.
    private(set) var files: [File] = []

    /// The files that are remembered; beyond, those are forgotten that were sent the longest time ago.
    static let filesMax = 10_000
    /// Of the text; more than any text has.
    static let bytesMax = 128 << 20
    private static let version: Int64 = 1

    /// Why a text is none.
    enum Malformation: Error, Equatable, Sendable {
        case damaged
        /// Written by a version that came later.
        case unknownVersion(Int64)
    }

    /// The state before anything has been sent to `server`.
    init(server: String) {
        self.server = server
    }

    /// How far a file is acknowledged; `nil` when nothing of it is.
    subscript(path: String) -> LinePosition? {
        files.last { $0.path == path }?.acknowledged
    }

    mutating func acknowledge(_ position: LinePosition, of path: String) {
        if let index = files.lastIndex(where: { $0.path == path }) {
            if index == files.count - 1 {
                files[index].acknowledged = position
                return
            }
            files.remove(at: index)
        }
        files.append(File(path: path, acknowledged: position))
        if files.count > Self.filesMax { files.removeFirst() }
    }

    // MARK: Text

    /// Reads what ``text`` gave.
    init(_ text: [UInt8]) throws(Malformation) {
        guard let end = text.firstIndex(of: UInt8(ascii: "\n")),
            Array(text[(end + 1)...]) == Self.seal(text[...end]),
            let object = try? JSONReader.object(Array(text[..<end]))
        else { throw .damaged }
        guard let version = object["version"]?.integer else { throw .damaged }
        if version != Self.version { throw .unknownVersion(version) }
        guard let server = object["server"]?.string, case .array(let files)? = object["files"] else {
            throw .damaged
        }
        self.server = server
        for file in files {
            guard let file = File(file) else { throw .damaged }
            self.files.append(file)
        }
    }

    var text: [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("version")
        writer.int(Self.version)
        writer.key("server")
        writer.string(server)
        writer.key("files")
        writer.beginArray()
        for file in files { file.write(to: &writer) }
        writer.endArray()
        writer.endObject()
        writer.lineFeed()
        let line = writer.finish()
        return line + Self.seal(line[...])
    }

    private static func seal(_ line: ArraySlice<UInt8>) -> [UInt8] {
        Array((SHA256.hash(data: line).hexadecimal + "\n").utf8)
    }
}

extension SendState.File {
    fileprivate init?(_ value: JSONValue) {
        guard let members = value.object, let path = members["path"]?.string,
            let lines = members["lines"]?.integer, let bytes = members["bytes"]?.integer,
            let digest = members["sha256"]?.string, lines >= 0, bytes >= 0
        else { return nil }
        self.init(
            path: path,
            acknowledged: LinePosition(lines: Int(lines), bytes: Int(bytes), digest: digest)
        )
    }

    fileprivate func write(to writer: inout JSONWriter) {
        writer.beginObject()
        writer.key("path")
        writer.string(path)
        writer.key("lines")
        writer.int(acknowledged.lines)
        writer.key("bytes")
        writer.int(acknowledged.bytes)
        writer.key("sha256")
        writer.string(acknowledged.digest)
        writer.endObject()
    }
}
