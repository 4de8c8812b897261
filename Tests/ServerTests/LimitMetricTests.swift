import HTTP
import Reactor
import Server
import TestSupport
import Testing

/// Every limit has a counter, and meeting the limit counts once, there and nowhere else.
@Suite(.timeLimit(.minutes(2))) struct `Limits of the server` {
    private struct Case: Sendable {
        let limit: String
        let request: String
        var body: [UInt8] = []
        var configure: @Sendable (inout HTTPServerConfiguration) -> Void = { _ in }
    }

    private static let get = "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"

    private static func post(_ path: String, _ fields: String...) -> String {
        "POST \(path) HTTP/1.1\r\nHost: x\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
    }

    private static let chunks = "Transfer-Encoding: chunked"

    private static let cases: [Case] = {
        let bomb = Deflater.compress([UInt8](repeating: 0x20, count: 4 << 20), .gzip, level: 9)
        let gzip = "Content-Encoding: gzip"
        let long = String(repeating: "a", count: 40_000)
        return [
            Case(limit: "head_bytes", request: "GET /ok HTTP/1.1\r\nA: \(long)"),
            Case(limit: "fields", request: "GET /ok HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n") {
                $0.limits.fieldsMax = 1
            },
            Case(limit: "target_bytes", request: "GET /\(long)"),
            Case(limit: "empty_lines", request: "\r\n\r\n\r\n") { $0.limits.emptyLinesMax = 2 },
            Case(limit: "body_bytes", request: post("/echo", "Content-Length: 100001")),
            Case(limit: "chunk_extension_bytes", request: post("/echo", chunks) + "1;\(long)"),
            Case(limit: "trailer_bytes", request: post("/echo", chunks) + "0\r\nA: \(long)"),
            Case(limit: "head_timeout", request: "GET") { $0.limits.headTimeout = .zero },
            Case(limit: "body_timeout", request: post("/echo", "Content-Length: 1")) {
                $0.limits.bodyProgressTimeout = .milliseconds(1)
            },
            Case(limit: "request_timeout", request: post("/echo", "Content-Length: 1")) {
                $0.limits.requestTimeout = .zero
            },
            Case(limit: "idle_timeout", request: "") { $0.limits.idleTimeout = .zero },
            Case(limit: "pipelined", request: get + get + "NONSENSE\r\n") { $0.limits.pipelinedMax = 2 },
            Case(limit: "buffered_bytes", request: post("/echo", "Content-Length: 50000")) {
                $0.limits.bufferedBytesMax = 10_000
            },
            Case(
                limit: "inflated_bytes",
                request: post("/count", gzip, "Content-Length: \(bomb.count)", "Connection: close"),
                body: bomb
            ) { $0.inflation.bytesMax = 1_000 },
            Case(
                limit: "inflation_ratio",
                request: post("/count", gzip, "Content-Length: \(bomb.count)", "Connection: close"),
                body: bomb
            ),
        ]
    }()

    /// These take more than one request: they are counted where they are tested.
    private static let others: Set<String> = [
        "connections", "connections_per_address", "write_timeout", "drain_timeout",
    ]

    @Test func `are counted when they are reached, by their names`() async throws {
        for entry in Self.cases {
            let metrics = RecordingMetrics()
            try await withServer({ configuration in
                configuration.metrics = metrics
                entry.configure(&configuration)
            }) { server in
                _ = try await server.exchange(entry.request, body: entry.body)
                let names = Self.names(in: metrics)
                let reached = names.filter { metrics.reached($0) > 0 }
                #expect(reached == [entry.limit])
                #expect(metrics.reached(entry.limit) == 1, "\(entry.limit)")
                #expect(names == Set(Self.cases.map(\.limit)).union(Self.others))
            }
        }
    }

    /// The labels of the counter.
    private static func names(in metrics: RecordingMetrics) -> Set<String> {
        let start = "millrace_http_limit_reached_total{"
        let series = metrics.series.filter { $0.hasPrefix(start) }
        return Set(series.map { String($0.dropFirst(start.count).dropLast()) })
    }

    @Test func `are shown beside what counts against them`() async throws {
        let metrics = RecordingMetrics()
        try await withServer({ configuration in
            configuration.metrics = metrics
            configuration.limits.connectionsMax = 7
            configuration.limits.connectionsPerAddressMax = 6
            configuration.limits.bufferedBytesMax = 5_000_000
        }) { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send(Self.get)
            #expect(try await client.answer().status == 200)
            #expect(metrics.value("millrace_http_connections_open") == 1)
            #expect(metrics.value("millrace_http_connections_max") == 7)
            #expect(metrics.value("millrace_http_connections_per_address_max") == 6)
            #expect(metrics.value("millrace_http_buffered_bytes_max") == 5_000_000)
        }
    }
}
