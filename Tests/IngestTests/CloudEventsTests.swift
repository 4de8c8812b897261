import Foundation
import Postgres
import TestSupport
import Testing

@testable import Ingest

/// The requests of `../shared/corpora/cloudevents`: made by others, no part of this repository, and skipped
/// where the folder is missing.
@Suite(.timeLimit(.minutes(3))) struct `CloudEvents corpus` {
    static let file = URL(filePath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "../shared/corpora/cloudevents/cloudevents-http.jsonl").standardizedFileURL
    static let isThere = FileManager.default.fileExists(atPath: file.path)

    private struct Case: Sendable {
        let name: String
        let kind: String
        let request: [UInt8]
        /// Statuses that are right; empty where either is.
        let statuses: [Int]
        let events: Int
        let ids: [String]
    }

    private static func cases() throws -> [Case] {
        try Data(contentsOf: file).split(separator: 10).map { line in
            let object = try #require(try JSONSerialization.jsonObject(with: line) as? [String: Any])
            let events = object["events"] as? [[String: Any]] ?? []
            let expected = object["expect"] as? String ?? ""
            let also = object["also"] as? [Int] ?? []
            return Case(
                name: object["name"] as? String ?? "",
                kind: object["kind"] as? String ?? "",
                request: [UInt8](Data(base64Encoded: object["raw_base64"] as? String ?? "") ?? Data()),
                statuses: expected == "accept"
                    ? [200] : expected == "either" ? [] : [Int(expected) ?? 0] + also,
                events: events.count,
                ids: events.compactMap { ($0["attributes"] as? [String: Any])?["id"] as? String }
            )
        }
    }

    /// Binary mode is left out: the route refuses it with 415 until it reads events from header fields.
    @Test(.enabled(if: isThere)) func `is answered as it says, but for binary mode`() async throws {
        try await Service.with { service, loop in
            var accepted = 0
            for item in try Self.cases() where item.kind != "ce-binary" {
                let client = try await Client.connect(to: service.address, on: loop)
                defer { client.close() }
                try await client.write(item.request)
                let answer = try await client.answer()

                let body = String(decoding: answer.body, as: UTF8.self)
                if item.statuses.isEmpty {
                    #expect(answer.status == 200 || 400..<500 ~= answer.status, "\(item.name): \(body)")
                } else {
                    #expect(item.statuses.contains(answer.status), "\(item.name): \(answer.status) \(body)")
                }
                guard item.statuses == [200], answer.status == 200 else { continue }
                accepted += 1
                let counts = try answer.counts()
                #expect(counts[0] == item.events && counts[3] == 0, "\(item.name): \(body)")
                for id in item.ids {
                    #expect(
                        try await service.installation.number(
                            "SELECT count(*) FROM events WHERE id = '\(id)'"
                        ) >= 1,
                        "\(item.name)"
                    )
                }
            }
            #expect(accepted > 15)
        }
    }

    @Test(.enabled(if: isThere)) func `is refused with 415 in binary mode`() async throws {
        try await Service.with { service, loop in
            for item in try Self.cases() where item.kind == "ce-binary" {
                let client = try await Client.connect(to: service.address, on: loop)
                defer { client.close() }
                try await client.write(item.request)
                #expect(try await client.answer().status == 415, "\(item.name)")
            }
            #expect(try await service.installation.totals() == Totals())
        }
    }
}
