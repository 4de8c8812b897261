package import Foundation

/// The texts and verdicts under `../shared/corpora` beside the package: made by others, no part of this
/// repository.
///
/// Tests that need them are skipped where the folder is missing, as in a plain clone.
package enum Corpora {
    package static let folder = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "../shared/corpora").standardizedFileURL

    package static let areThere = FileManager.default.fileExists(atPath: folder.path)

    /// The objects of a JSON Lines file.
    package static func lines(_ path: String) throws -> [[String: Any]] {
        let text = try Data(contentsOf: folder.appending(path: path))
        return try text.split(separator: 10).map { line in
            try JSONSerialization.jsonObject(with: line) as? [String: Any] ?? [:]
        }
    }

    /// The files of a folder by name.
    package static func files(_ path: String) throws -> [(name: String, bytes: [UInt8])] {
        let folder = folder.appending(path: path)
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map { name in
            (name, [UInt8](try Data(contentsOf: folder.appending(path: name))))
        }
    }

    /// The body of a case that holds a whole HTTP request.
    package static func body(of line: [String: Any]) throws -> [UInt8] {
        let request = Data(base64Encoded: line["raw_base64"] as? String ?? "") ?? Data()
        let head = request.range(of: Data("\r\n\r\n".utf8))
        return head.map { [UInt8](request[$0.upperBound...]) } ?? []
    }
}
