import Foundation
import Reactor
import TestSupport

/// Real events under `../shared/corpora` beside the package: collected by others, no part of this repository.
enum EventFiles {
    /// What lies beside the project.
    static let shared = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "../shared").standardizedFileURL.path
    static let folder = shared + "/corpora/events"

    static let areThere = FileManager.default.fileExists(atPath: folder)

    /// What a skipped test says.
    static let absence = "there are no event files: \(folder) is missing"

    static func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".ndjson.gz") }
            .sorted()
    }
}

/// One of the files, unpacked, and what is in it as another JSON parser reads it.
struct EventFile: Sendable {
    struct Event: Decodable, Hashable, Sendable {
        var type: String
        var source: String
        var id: String
        var time: String?
        var subject: String?
    }

    let name: String
    let bytes: [UInt8]
    /// One a line, repetitions included.
    let events: [Event]

    var path: String { "\(EventFiles.folder)/\(name)" }

    /// Unpacks it with gzip, not with our own code.
    static func read(_ name: String, on loop: EventLoop) async throws -> EventFile {
        let program = RunningProgram(on: loop)
        let bytes: [UInt8]
        do {
            try await program.start(["/bin/gzip", "-dc", "\(EventFiles.folder)/\(name)"])
            bytes = try await program.rest()
            _ = await program.exit()
            await program.kill()
        } catch {
            await program.kill()
            throw error
        }
        guard await program.exit() == .exited(0), !bytes.isEmpty else {
            throw StillWaiting(description: "gzip does not unpack \(name): \(program.log())")
        }
        let decoder = JSONDecoder()
        let events = try bytes.split(separator: 10).map { try decoder.decode(Event.self, from: Data($0)) }
        return EventFile(name: name, bytes: bytes, events: events)
    }

    /// What the same event sent twice has in common.
    private struct Identity: Hashable {
        var source: String
        var id: String
        var time: String?
    }

    /// The events without repetitions.
    var distinct: [Event] {
        var seen: Set<Identity> = []
        return events.filter { seen.insert(Identity(source: $0.source, id: $0.id, time: $0.time)).inserted }
    }

    /// How many different events there are of each type.
    var countsByType: [String: Int] { Dictionary(distinct.map { ($0.type, 1) }, uniquingKeysWith: +) }
}
