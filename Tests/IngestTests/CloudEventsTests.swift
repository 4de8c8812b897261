import Foundation
import Postgres
import TestSupport
import Testing

@testable import Ingest

/// The requests of `../shared/corpora/cloudevents`: made by others, no part of this repository, and skipped
/// where the folder is missing.
@Suite(.timeLimit(.minutes(3))) struct `CloudEvents corpus` {
    private struct Case {
        let name: String
        let kind: String
        let request: [UInt8]
        /// Statuses that are right; empty where either is.
        let statuses: [Int]
        let events: [[String: Any]]

        var ids: [String] { events.compactMap { ($0["attributes"] as? [String: Any])?["id"] as? String } }
    }

    private static func cases() throws -> [Case] {
        try Corpora.lines("cloudevents/cloudevents-http.jsonl").map { object in
            let events = object["events"] as? [[String: Any]] ?? []
            let expected = object["expect"] as? String ?? ""
            let also = object["also"] as? [Int] ?? []
            return Case(
                name: object["name"] as? String ?? "",
                kind: object["kind"] as? String ?? "",
                request: [UInt8](Data(base64Encoded: object["raw_base64"] as? String ?? "") ?? Data()),
                statuses: expected == "accept"
                    ? [200] : expected == "either" ? [] : [Int(expected) ?? 0] + also,
                events: events
            )
        }
    }

    @Test(.enabled(if: Corpora.areThere)) func `is answered as it says and stored as it was meant`()
        async throws
    {
        try await Service.with { service, loop in
            var accepted = 0
            for item in try Self.cases() {
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
                #expect(counts[0] == item.events.count && counts[3] == 0, "\(item.name): \(body)")
                for event in item.events { try await Self.expect(event, in: service, item.name) }
            }
            #expect(accepted > 35)
        }
    }

    /// A text that is not of a text type comes back as its bytes: those of a string are the same.
    private static func expect(_ event: [String: Any], in service: Service, _ name: String) async throws {
        let attributes = try #require(event["attributes"] as? [String: Any])
        let id = try #require(attributes["id"] as? String)
        let rows = try await service.installation.sql(
            """
            SELECT type, source, subject, attributes, data, replace(encode(data_bytes, 'base64'), chr(10), '')
              FROM events WHERE id = $1
            """,
            [id]
        )
        let row = try #require(rows.last, "\(name)")
        #expect(row[0] == attributes["type"] as? String, "\(name)")
        #expect(row[1] == attributes["source"] as? String, "\(name)")
        #expect(row[2] == attributes["subject"] as? String, "\(name)")
        let kept = try row[3].map { try JSONSerialization.jsonObject(with: Data($0.utf8)) } as? [String: Any]
        for (key, value) in attributes where !["id", "type", "source", "subject", "time"].contains(key) {
            #expect("\(kept?[key] ?? "none")" == "\(value)", "\(name): \(key)")
        }
        if let bytes = row[5] {
            let text = (event["data"] as? String).map { Data($0.utf8).base64EncodedString() }
            #expect(bytes == text ?? event["data_base64"] as? String, "\(name)")
        } else if let data = event["data"] {
            let json = try JSONSerialization.data(withJSONObject: data, options: .fragmentsAllowed)
            let text = String(decoding: json, as: UTF8.self)
            let isSame = try await service.installation.sql(
                "SELECT coalesce(data, 'null') = $2::jsonb FROM events WHERE id = $1",
                [id, text]
            )
            #expect(isSame.last?[0] == "t", "\(name): \(row[4] ?? "none") \(text)")
        }
    }
}
