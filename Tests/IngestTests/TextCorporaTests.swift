import Foundation
import Postgres
import TestSupport
import Testing

@testable import Ingest

/// Texts under `../shared/corpora`, sent as events over HTTP; skipped where the folder is missing.
@Suite(.timeLimit(.minutes(3)), .enabled(if: Corpora.areThere, "../shared/corpora is not here"))
struct `Corpora of texts, sent as events` {
    /// JSONTestSuite: `y_` must be taken, `n_` must not, `i_` is up to us, and nothing may break us.
    @Test func `are taken as data when they are JSON, and refused when they are not`() async throws {
        try await Service.with { service, loop in
            let files = try Corpora.files("json/JSONTestSuite").filter { $0.name.hasSuffix(".json") }
            #expect(files.count > 300)
            for (name, bytes) in files {
                let body = Array(#"{"type":"t","id":"\#(name)","data":"#.utf8) + bytes + Array("}".utf8)
                let client = try await Client.connect(to: service.address, on: loop)
                defer { client.close() }
                try await client.write(Client.head(type: "application/json", length: body.count) + body)
                let answer = try await client.answer()
                let text = String(decoding: answer.body, as: UTF8.self)
                let holdsNull = String(decoding: bytes, as: UTF8.self)
                    .replacingOccurrences(of: "\\\\", with: "").contains("\\u0000")
                switch name.prefix(2) {
                case "y_" where holdsNull:
                    #expect(try answer.errorCodes() == ["unstorable_text"], "\(name): \(text)")
                case "y_": #expect(answer.status == 200, "\(name): \(text)")
                case "n_": #expect([400, 422].contains(answer.status), "\(name): \(answer.status) \(text)")
                default: #expect(answer.status < 500, "\(name): \(text)")
                }
                let stored = try await service.installation.sql(
                    "SELECT count(*) FROM events WHERE id = $1",
                    [name]
                )
                #expect(stored == [[answer.status == 200 ? "1" : "0"]], "\(name)")
            }
        }
    }

    @Test func `are times to the millisecond`() async throws {
        try await Service.with { service, _ in
            let lines = try Corpora.lines("text/rfc3339.jsonl")
            let events = try lines.enumerated().map { number, line in
                let event = ["type": "t", "id": "\(number)", "time": line["value"] as? String ?? ""]
                return String(decoding: try JSONSerialization.data(withJSONObject: event), as: UTF8.self)
            }
            let answer = try await service.post(
                events.joined(separator: "\n"),
                type: "application/x-ndjson"
            )
            let errors = try #require(try answer.json()["errors"] as? [[String: Any]])
            for (number, line) in lines.enumerated() {
                let code = errors.first { $0["index"] as? Int == number }?["code"] as? String
                let milliseconds = (line["epoch_ms"] as? Int64) ?? 0
                let isFuture = milliseconds > Int64(Date().timeIntervalSince1970 * 1_000) + 3_600_000
                switch line["expect"] as? String {
                case "valid" where isFuture: #expect(code == "time_in_future", "\(line)")
                case "valid":
                    #expect(code == nil, "\(line)")
                    let stored = try await service.installation.number(
                        """
                        SELECT floor(extract(epoch FROM ts) * 1000)::bigint FROM events
                          WHERE id = '\(number)'
                        """
                    )
                    #expect(stored == milliseconds, "\(line)")
                default: #expect(code == "invalid_time", "\(line)")
                }
            }
        }
    }

    @Test func `are ids, whatever they look like`() async throws {
        try await Service.with { service, _ in
            let values = try Corpora.lines("text/uuid.jsonl").compactMap { $0["value"] as? String }
            for value in values where !value.isEmpty {
                let event = try JSONSerialization.data(withJSONObject: ["type": "t", "id": value])
                let answer = try await service.post(String(decoding: event, as: UTF8.self))
                #expect(answer.status == 200, "\(value)")
                let stored = try await service.installation.sql(
                    "SELECT count(*) FROM events WHERE id = $1",
                    [value]
                )
                #expect(stored == [["1"]], "\(value)")
            }
        }
    }

    /// A line that is not UTF-8 is one rejected event; its neighbours are stored.
    @Test func `are text when they are UTF-8`() async throws {
        try await Service.with { service, loop in
            // A control character has to be escaped in JSON, valid UTF-8 or not.
            let lines = try Corpora.lines("text/utf8.jsonl").filter {
                Self.bytes($0["bytes_hex"] as? String ?? "").allSatisfy { $0 >= 0x20 }
            }
            var body: [UInt8] = []
            for (number, line) in lines.enumerated() {
                body += Array(#"{"type":"t","id":"\#(number)","data":""#.utf8)
                body += Self.bytes(line["bytes_hex"] as? String ?? "") + Array("\"}\n".utf8)
            }
            let client = try await Client.connect(to: service.address, on: loop)
            defer { client.close() }
            try await client.write(Client.head(type: "application/x-ndjson", length: body.count) + body)
            let errors = try #require(try await client.answer().json()["errors"] as? [[String: Any]])
            for (number, line) in lines.enumerated() {
                let code = errors.first { $0["index"] as? Int == number }?["code"] as? String
                let isValid = line["expect"] as? String == "valid"
                #expect(code == (isValid ? nil : "invalid_unicode"), "\(line)")
            }
            let valid = lines.count { $0["expect"] as? String == "valid" }
            #expect(try await service.installation.number("SELECT count(*) FROM events") == valid)
        }
    }

    private static func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex)
        return stride(from: 0, to: digits.count, by: 2).compactMap {
            UInt8(String(digits[$0...$0 + 1]), radix: 16)
        }
    }
}
