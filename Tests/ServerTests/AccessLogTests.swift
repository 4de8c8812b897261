import HTTP
import Logging
import Reactor
import Server
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2))) struct `The access log` {
    private static func head(_ line: String, _ fields: String...) -> String {
        "\(line) HTTP/1.1\r\nHost: x\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
    }

    /// Sends the requests on one connection, one by one, and returns the lines.
    private static func lines(every: Int, _ requests: [String]) async throws -> [[String: String]] {
        let book = LogBook()
        try await withServer(
            { $0.accessLog = AccessLog(book.logger, every: every) },
            routes: { router in
                router.add(.get, "/broken", for: .anyone) { request, _ in
                    request.problem(500, "broken", "It is broken.")
                }
            }
        ) { server in
            let client = try await server.connect()
            defer { client.close() }
            for request in requests {
                try await client.send(request)
                _ = try await client.answer()
            }
            // An answer may arrive before its line is written; a drained server has written all.
            await server.server.drain(deadline: TestServer.patience)
        }
        return book.lines
    }

    @Test func `says who asked for what and what became of it`() async throws {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        let request = Self.head(
            "POST /echo?a=b",
            "Content-Length: 5",
            "X-Request-Id: mine",
            "traceparent: 00-\(trace)-00f067aa0ba902b7-01"
        )
        let line = try #require(try await Self.lines(every: 1, [request + "hello"]).first)

        #expect(line["request_id"] == "mine")
        #expect(line["method"] == "POST")
        #expect(line["path"] == "/echo?a=b")
        #expect(line["status"] == "200")
        #expect(line["bytes_in"] == "\(request.utf8.count + 5)")
        #expect(line["peer"]?.hasPrefix("127.0.0.1:") == true)
        #expect(line["trace_id"] == trace)
        #expect(line["duration_ms"].flatMap { Int($0) } != nil)
    }

    @Test func `names a trace only when the client has named one validly and once`() async throws {
        let valid = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        let requests = [[valid], [valid, valid], [valid + "0"], []].map { fields in
            "GET /ok HTTP/1.1\r\nHost: x\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
        }
        let lines = try await Self.lines(every: 1, requests)
        #expect(lines.map { $0["trace_id"] != nil } == [true, false, false, false])
    }

    @Test func `counts what was sent, streamed or not`() async throws {
        let book = LogBook()
        try await withServer({ $0.accessLog = AccessLog(book.logger, every: 1) }) { server in
            for path in ["/ok", "/stream", "/nowhere"] {
                let client = try await server.connect()
                defer { client.close() }
                try await client.send(Self.head("GET \(path)", "Connection: close"))
                let text = try await client.untilEnd()
                let isLogged = await eventually { book.lines.contains { $0["path"] == path } }
                #expect(isLogged)
                let line = try #require(book.lines.last)
                #expect(line["bytes_out"] == "\(text.utf8.count)", "\(path)")
            }
        }
    }

    @Test func `holds no key`() async throws {
        let queries = [
            "key=secret", "a=b&key=secret&c=d", "%6Bey=secret", "KEY=secret=secret", "%zz=secret",
            "monkey=secret&key", "access_token=secret&type=t",
            "a=b;key=secret", "type=key&a=%zz",
        ]
        let lines = try await Self.lines(every: 1, queries.map { Self.head("GET /ok?\($0)") })
        #expect(
            lines.map { $0["path"] } == [
                "/ok?key=***", "/ok?a=b&key=***&c=d", "/ok?%6Bey=***", "/ok?KEY=***", "/ok?%zz=***",
                "/ok?monkey=***&key", "/ok?access_token=***&type=t",
                "/ok?a=***", "/ok?type=key&a=***",
            ]
        )
    }

    @Test func `takes one of so many, and all that failed`() async throws {
        let requests = (0..<20).map { Self.head("GET /\($0 % 5 == 0 ? "broken" : "ok")") }
        let lines = try await Self.lines(every: 10, requests)
        #expect(lines.count { $0["status"] == "500" } == 4)
        // Numbers 10 and 20 of the loop: the tenth and the twentieth request.
        #expect(lines.count { $0["status"] == "200" } == 2)
    }

    @Test func `has a line for what could not be read as a request`() async throws {
        let lines = try await Self.lines(every: 1, ["GET /ok?key=secret HTTP/2.0\r\n\r\n"])
        let line = try #require(lines.first)
        #expect(line["status"] == "505")
        #expect(line["path"] == nil)
    }
}

/// Keeps the metadata of each line that is logged.
final class LogBook: Sendable {
    private let book = Mutex<[[String: String]]>([])

    var lines: [[String: String]] { book.withLock { $0 } }

    var logger: Logger { Logger(label: "access") { _ in Handler(book: self) } }

    private struct Handler: LogHandler {
        let book: LogBook
        var logLevel = Logger.Level.info
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let line = (event.metadata ?? [:]).mapValues { "\($0)" }
            book.book.withLock { $0.append(line) }
        }
    }
}
