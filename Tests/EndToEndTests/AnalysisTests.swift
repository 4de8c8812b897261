import Foundation
import Glibc
import Reactor
import TestSupport
import Testing

/// An analysis as its route shows it.
private struct Analysis: Decodable, Sendable {
    struct Attempt: Decodable, Sendable {
        var node: String
        var endedAt: String?
        var error: String?
    }
    struct Result: Decodable, Sendable {
        struct Value: Decodable, Sendable {
            var value: String
            var count: Int
        }
        var events: Int
        var exact: Bool
        var values: [Value]?
        var sessions: Int?
    }

    var id: Int64
    var kind: String
    var state: String
    var progress: Double
    var attempts: [Attempt]
    var result: Result?
}

extension RunningService {
    fileprivate func send(_ method: String, _ path: String, _ body: String? = nil) async throws -> WireAnswer
    {
        try await connect {
            try await $0.send(method, path, fields: Self.json, body: body.map { Array($0.utf8) } ?? [])
        }
    }

    fileprivate func ask(_ order: String) async throws -> Analysis {
        let answer = try await send("POST", "/v1/analyses", order)
        try #require(answer.status == 202, "\(answer.text)")
        return try answer.decode(Analysis.self)
    }

    fileprivate func analysis(_ id: Int64, wait: Int = 0) async throws -> Analysis {
        try await get("/v1/analyses/\(id)?wait=\(wait)s", as: Analysis.self)
    }

    /// The worker of analyses: the child of the service that is none of the rollups'.
    fileprivate func analysisWorker() async throws -> pid_t {
        let others = Set(try await stats().workers.compactMap { $0.pid.map { pid_t($0) } })
        let parent = await program.pid
        var found: [pid_t] = []
        for name in try FileManager.default.contentsOfDirectory(atPath: "/proc") {
            guard let pid = pid_t(name), !others.contains(pid),
                let stat = try? String(contentsOfFile: "/proc/\(name)/stat", encoding: .utf8),
                let command = try? String(contentsOfFile: "/proc/\(name)/cmdline", encoding: .utf8),
                let itsParent = stat.split(separator: ")").last?.split(separator: " ").dropFirst().first,
                pid_t(itsParent) == parent, command.contains("worker")
            else { continue }
            found.append(pid)
        }
        return try #require(found.first, "no worker of analyses")
    }
}

extension `End to end` {
    private static let everything = #""from":"2000-01-01T00:00:00Z","to":"2100-01-01T00:00:00Z""#

    @Test func `answers an analysis of what is stored`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let events = MadeEvents(5_000, prefix: "analysis", seed: 6)
            _ = try await service.stream(events.lines)

            let asked = try await service.ask(#"{"kind":"top","params":{\#(Self.everything)}}"#)
            let analysis = try await service.analysis(asked.id, wait: 60)

            #expect(analysis.state == "succeeded" && analysis.progress == 1)
            #expect(analysis.result?.events == 5_000 && analysis.result?.exact == true)
            let counts = (analysis.result?.values ?? []).map { ($0.value, $0.count) }
            #expect(Dictionary(uniqueKeysWithValues: counts) == events.countsByType)
            #expect(analysis.attempts.count == 1)
            #expect(analysis.attempts.first?.endedAt != nil && analysis.attempts.first?.error == nil)
            #expect(try await service.send("DELETE", "/v1/analyses/\(asked.id)").status == 409)
            #expect(try await service.send("POST", "/v1/analyses/\(asked.id)/retry").status == 409)
            let list = try await service.get("/v1/analyses?state=succeeded&kind=top")
            #expect(list.text.contains("\"id\":\(asked.id)"))
            let kinds = try await service.get("/v1/analyses/kinds")
            #expect(kinds.text.contains("\"kind\":\"funnel\"") && kinds.text.contains("additionalProperties"))
        }
    }

    @Test func `says what is wrong with the order of an analysis`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let orders = [
                (#"{"kind":"guess","params":{}}"#, "/kind"), (#"{"kind":"top"}"#, "/params"),
                (#"{"kind":"top","params":{\#(Self.everything),"limit":0}}"#, "/params/limit"),
                (#"{"kind":"top","params":{\#(Self.everything)},"priority":10}"#, "/priority"),
                (#"{"kind":"top","params":{\#(Self.everything)},"run_at":"soon"}"#, "/run_at"),
                (#"{"kind":"top","params":{\#(Self.everything)},"colour":1}"#, "/colour"),
            ]
            for (order, pointer) in orders {
                let answer = try await service.send("POST", "/v1/analyses", order)
                #expect(answer.status == 422, "\(order)")
                #expect(answer.text.contains("\"pointer\":\"\(pointer)\""), "\(answer.text)")
            }
        }
    }

    @Test func `repeats an analysis whose worker is killed in the middle, while events go on being counted`()
        async throws
    {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let events = MadeEvents(20_000, prefix: "first", seed: 7)
            _ = try await service.stream(events.lines)
            let victim = try await service.analysisWorker()

            // Stopped first, so that the analysis is certainly not over when it is killed.
            kill(victim, SIGSTOP)
            let asked = try await service.ask(#"{"kind":"top","params":{\#(Self.everything)}}"#)
            try await until("the analysis runs", on: installation.loop) {
                try await service.analysis(asked.id).state == "running"
            }
            let more = MadeEvents(5_000, prefix: "second", seed: 8)
            _ = try await service.stream(more.lines)
            try await service.waitForAnalytics()
            #expect(
                try await service.analysis(asked.id).state == "running",
                "the rollups did not wait for it"
            )
            kill(victim, SIGKILL)

            let analysis = try await service.analysis(asked.id, wait: 60)
            #expect(analysis.state == "succeeded")
            #expect(analysis.attempts.count == 2)
            #expect(analysis.attempts.first?.error?.contains("SIGKILL") == true)
            #expect(analysis.result?.events == 25_000)
        }
    }

    @Test func `ends an analysis that is cancelled, waiting or running, and tries it again when asked to`()
        async throws
    {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let events = MadeEvents(20_000, prefix: "cancel", seed: 9)
            _ = try await service.stream(events.lines)
            let worker = try await service.analysisWorker()
            kill(worker, SIGSTOP)
            let order = #"{"kind":"top","params":{\#(Self.everything)},"unique_key":"one"}"#
            let running = try await service.ask(order)
            #expect(try await service.ask(order).id == running.id, "the same key is the same analysis")
            try await until("the analysis runs", on: installation.loop) {
                try await service.analysis(running.id).state == "running"
            }
            let waiting = try await service.ask(#"{"kind":"sessions","params":{\#(Self.everything)}}"#)
            #expect(try await service.analysis(waiting.id).state == "queued")
            #expect(try await service.send("DELETE", "/v1/analyses/\(waiting.id)").status == 200)
            #expect(try await service.analysis(waiting.id).state == "cancelled")

            // Its worker is stopped and deaf to all but SIGKILL.
            #expect(try await service.send("DELETE", "/v1/analyses/\(running.id)").status == 202)
            #expect(try await service.analysis(running.id, wait: 60).state == "cancelled")

            #expect(try await service.send("POST", "/v1/analyses/\(waiting.id)/retry").status == 202)
            let again = try await service.analysis(waiting.id, wait: 60)
            #expect(again.state == "succeeded" && again.result?.events == 20_000)
        }
    }

    @Test func `goes on with an analysis at the next start when the service is killed`() async throws {
        try await Installation.with { installation in
            let service = try await installation.serve()
            let events = MadeEvents(5_000, prefix: "node", seed: 10)
            _ = try await service.stream(events.lines)
            let later = #","run_at":"2099-01-01T00:00:00Z""#
            let scheduled = try await service.ask(#"{"kind":"top","params":{\#(Self.everything)}\#(later)}"#)
            #expect(try await service.analysis(scheduled.id).state == "scheduled")
            kill(try await service.analysisWorker(), SIGSTOP)
            let asked = try await service.ask(#"{"kind":"top","params":{\#(Self.everything)}}"#)
            try await until("the analysis runs", on: installation.loop) {
                try await service.analysis(asked.id).state == "running"
            }
            await service.program.kill()

            let next = try await installation.serve()
            let analysis = try await next.analysis(asked.id, wait: 60)
            #expect(analysis.state == "succeeded" && analysis.result?.events == 5_000)
            #expect(analysis.attempts.count == 2)
            #expect(try await next.analysis(scheduled.id).state == "scheduled")
        }
    }
}
