import Glibc
import HTTP
import Reactor
import Server
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct Requests {
    private static let get = "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"
    private static let getAndClose = "GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    private static func post(_ path: String, _ body: String, _ fields: String = "") -> String {
        "POST \(path) HTTP/1.1\r\nHost: x\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    @Test func `are answered one after another on one connection`() async throws {
        try await withServer { server in
            let client = try await server.connect()
            defer { client.close() }
            for number in 0..<20 {
                try await client.send(Self.post("/echo", "body \(number)"))
                let answer = try await client.answer()
                #expect(answer.status == 200)
                #expect(answer.text == "body \(number)")
                #expect(answer["date"]?.utf8.count == 29)
                #expect(answer["connection"] == nil)
            }
        }
    }

    @Test func `that come in one segment are answered in order`() async throws {
        try await withServer { server in
            let client = try await server.connect()
            defer { client.close() }
            let requests = (0..<200).map { number in
                number % 3 == 0
                    ? "GET /things/\(number) HTTP/1.1\r\nHost: x\r\n\r\n" : Self.post("/echo", "\(number)")
            }
            try await client.send(requests.joined())
            for number in 0..<200 {
                #expect(try await client.answer().text == (number % 3 == 0 ? "thing \(number)" : "\(number)"))
            }
        }
    }

    /// More answers than socket buffers hold: the server stops reading rather than gather them.
    @Test func `whose answers nobody reads yet do not pile up or get lost`() async throws {
        try await withServer(routes: { router in
            router.add(.get, "/big", for: .anyone) { _, _ in
                Response(contentType: "text/plain", bytes: [UInt8](repeating: 97, count: 50_000))
            }
        }) { server in
            let client = try await server.connect()
            defer { client.close() }
            let stream = client.stream
            let sending = Task(executorPreference: server.loop) {
                try await stream.write(
                    Array(String(repeating: "GET /big HTTP/1.1\r\nHost: x\r\n\r\n", count: 400).utf8),
                    deadline: TestServer.patience
                )
            }
            try await sending.value
            for _ in 0..<400 { #expect(try await client.answer().body.count == 50_000) }
        }
    }

    @Test func `may be cut at every byte`() async throws {
        let request =
            "POST /echo?a=b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n" + Self.post("/echo", "second")
        let bytes = Array(request.utf8)
        try await withServer { server in
            let client = try await server.connect()
            defer { client.close() }
            for cut in 1..<bytes.count {
                try await client.send(Array(bytes[..<cut]))
                // The server's task gets its turn between the pieces.
                await Task.yield()
                try await client.send(Array(bytes[cut...]))
                #expect(try await client.answer().text == "abc0123456789", "cut at \(cut)")
                #expect(try await client.answer().text == "second", "cut at \(cut)")
            }
            for byte in bytes { try await client.send([byte]) }
            #expect(try await client.answer().text == "abc0123456789")
            #expect(try await client.answer().text == "second")
        }
    }

    /// The third handler holds its loop until the client, on another one, has read two answers.
    @Test func `are read on only when not too many answers wait to be written`() async throws {
        let serving = try EventLoop(name: "server")
        let read = Counter()
        var router = Router()
        TestRoutes.add(to: &router)
        router.add(.get, "/third", for: .anyone) { _, _ in
            let patience = TestServer.patience
            while read.value < 2, Deadline.now() < patience { sched_yield() }
            return Response(bytes: Array("\(read.value)".utf8))
        }
        var configuration = HTTPServerConfiguration()
        configuration.port = 0
        configuration.limits.pipelinedMax = 2
        let server = try await HTTPServer(
            configuration,
            router: router,
            loops: [serving],
            logger: TestServer.logger
        )
        let texts = try await withLoop { loop in
            let client = try await TestServer(server: server, loop: loop).connect()
            defer { client.close() }
            let third = "GET /third HTTP/1.1\r\nHost: x\r\n\r\n"
            try await client.send(Self.get + Self.get + third + Self.get)
            var texts: [String] = []
            for _ in 0..<4 {
                texts.append(try await client.answer().text)
                read.add(1)
            }
            return texts
        }
        #expect(texts == ["{}", "{}", "2", "{}"])
        await server.drain(deadline: .now())
        serving.stop()
    }

    /// A client that has sent two requests gets the first answer although the second handler is not done.
    @Test func `are not held up by the handler of a later one`() async throws {
        let gate = Event()
        try await withServer(routes: { router in
            router.add(.get, "/slow", for: .anyone) { _, _ in
                await gate.happened()
                return Response(bytes: Array("slow".utf8))
            }
        }) { server in
            let client = try await server.connect()
            defer {
                gate.happen()
                client.close()
            }
            try await client.send(Self.get + Self.get + "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" + Self.get)
            #expect(try await client.answer().text == "{}")
            #expect(try await client.answer().text == "{}")

            gate.happen()
            #expect(try await client.answer().text == "slow")
            #expect(try await client.answer().text == "{}")
        }
    }

    @Test func `with HEAD get the fields of GET and no body`() async throws {
        try await withServer { server in
            let client = try await server.connect()
            defer { client.close() }
            for path in ["/ok", "/stream", "/nowhere", "/id"] {
                try await client.send("GET \(path) HTTP/1.1\r\nHost: x\r\nX-Request-Id: same\r\n\r\n")
                let full = try await client.answer()
                try await client.send("HEAD \(path) HTTP/1.1\r\nHost: x\r\nX-Request-Id: same\r\n\r\n")
                let bare = try await client.answer(isHead: true)
                #expect(bare.status == full.status)
                #expect(bare.fields.map(\.name) == full.fields.map(\.name))
                #expect(bare["content-length"] == full["content-length"])
            }
            try await client.send(Self.get)
            #expect(try await client.answer().text == "{}")
        }
    }

    @Test func `for unknown paths and methods are refused with a problem`() async throws {
        try await withServer { server in
            let client = try await server.connect()
            defer { client.close() }
            for (line, status, code, allow) in [
                ("GET /nowhere", 404, "not_found", nil),
                ("GET /things", 404, "not_found", nil),
                ("GET /things/a/b", 404, "not_found", nil),
                ("DELETE /ok", 405, "method_not_allowed", "GET, HEAD, OPTIONS"),
                ("PATCH /things/7", 405, "method_not_allowed", "GET, PUT, HEAD, OPTIONS"),
                ("GET /echo", 405, "method_not_allowed", "POST, OPTIONS"),
                ("BREW /ok", 501, "unknown_method", "GET, HEAD, OPTIONS"),
            ] as [(String, Int, String, String?)] {
                try await client.send("\(line) HTTP/1.1\r\nHost: x\r\n\r\n")
                let answer = try await client.answer()
                #expect(answer.status == status, "\(line)")
                #expect(answer["content-type"] == "application/problem+json", "\(line)")
                #expect(answer.member("code") == code, "\(line)")
                #expect(answer.member("status") == "\(status)", "\(line)")
                #expect(answer["allow"] == allow, "\(line)")
                #expect(answer.member("request_id") == answer["x-request-id"], "\(line)")
                #expect(answer["x-request-id"]?.isEmpty == false, "\(line)")
            }
        }
    }

    @Test func `with OPTIONS learn what is allowed`() async throws {
        try await withServer { server in
            let client = try await server.connect()
            defer { client.close() }
            for (target, allow) in [("/echo", "POST, OPTIONS"), ("/ok", "GET, HEAD, OPTIONS")] {
                try await client.send("OPTIONS \(target) HTTP/1.1\r\nHost: x\r\n\r\n")
                let answer = try await client.answer()
                #expect(answer.status == 204)
                #expect(answer["allow"] == allow)
                #expect(answer["content-length"] == nil)
            }
            try await client.send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await client.answer().status == 204)
        }
    }

    @Test func `keep the id that a client has given, if it is a sane one`() async throws {
        try await withServer { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send("GET /nowhere HTTP/1.1\r\nHost: x\r\nX-Request-Id: trace-42.a\r\n\r\n")
            let kept = try await client.answer()
            #expect(kept["x-request-id"] == "trace-42.a")
            #expect(kept.member("request_id") == "trace-42.a")

            var made: Set<String> = []
            for bad in ["a b", "a\"b", String(repeating: "x", count: 129), ""] {
                try await client.send("GET /id HTTP/1.1\r\nHost: x\r\nX-Request-Id: \(bad)\r\n\r\n")
                made.insert(try await client.answer().text)
            }
            #expect(made.count == 4)
            #expect(made.allSatisfy { $0.utf8.count == 17 })
        }
    }

    @Test func `are named in every answer, each by another id`() async throws {
        try await withServer { server in
            let client = try await server.connect()
            defer { client.close() }
            var ids: Set<String> = []
            for path in ["/id", "/ok", "/stream", "/nowhere", "/echo", "/id"] {
                try await client.send("GET \(path) HTTP/1.1\r\nHost: x\r\n\r\n")
                let answer = try await client.answer()
                let named = answer.fields.filter { $0.name == "x-request-id" }
                #expect(named.count == 1, "\(path)")
                if path == "/id" { #expect(named.first?.value == answer.text) }
                ids.insert(named.first?.value ?? "")
            }
            try await client.send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\nHEAD /ok HTTP/1.1\r\nHost: x\r\n\r\n")
            ids.insert(try await client.answer()["x-request-id"] ?? "")
            ids.insert(try await client.answer(isHead: true)["x-request-id"] ?? "")
            try await client.send("NONSENSE\r\n")
            let malformed = try await client.answer()
            ids.insert(malformed["x-request-id"] ?? "")
            #expect(malformed.member("request_id") == malformed["x-request-id"])
            #expect(ids.count == 9)
            #expect(ids.allSatisfy { $0.utf8.count == 17 })

            for path in ["/ok", "/stream"] {
                let answers = try await server.exchange(
                    "GET \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: mine\r\n\r\n"
                )
                #expect(answers.first?["x-request-id"] == "mine")
            }
        }
    }

    @Test func `that are malformed get a problem, after the answers to those before, and the end`()
        async throws
    {
        try await withServer { server in
            for (request, status) in [
                ("GET /ok HTTP/1.1\r\n\r\n", 400), ("NONSENSE\r\n\r\n", 400),
                ("GET /ok HTTP/2.0\r\n\r\n", 505),
                ("GET /\(String(repeating: "a", count: 9_000)) HTTP/1.1\r\n", 414),
                ("GET /ok HTTP/1.1\r\nHost: x\r\nA: \(String(repeating: "a", count: 40_000))", 431),
                ("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n", 417),
                ("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
            ] {
                let answers = try await server.exchange(Self.get + request)
                #expect(answers.map(\.status) == [200, status])
                let last = try #require(answers.last)
                #expect(last.closes)
                #expect(last["content-type"] == "application/problem+json")
                #expect(last.member("request_id") == last["x-request-id"])
            }
        }
    }

    @Test func `of HTTP 1.0 end the connection unless they ask to keep it`() async throws {
        try await withServer { server in
            let closed = try await server.exchange("GET /ok HTTP/1.0\r\n\r\n")
            #expect(closed.map(\.status) == [200])
            #expect(closed.first?.closes == true)

            let kept = try await server.exchange(
                "GET /ok HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
                    + "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
            )
            #expect(kept.map(\.status) == [200, 200])
            #expect(kept.first?["connection"] == "keep-alive")
            // An HTTP/1.0 client knows no chunks: the end of the connection ends the body.
            #expect(kept.last?["transfer-encoding"] == nil)
            #expect(kept.count > 1 && kept[1].closes)
            #expect(kept.last?.text == "piece 0\npiece 1\npiece 2\n")
        }
    }

    @Test func `behind one that closes are not answered`() async throws {
        try await withServer { server in
            let answers = try await server.exchange(Self.getAndClose + Self.get)
            #expect(answers.count == 1)
            #expect(answers.first?.closes == true)
        }
    }

    @Test func `may be the last thing that a client sends`() async throws {
        try await withServer { server in
            let client = try await server.connect()
            defer { client.close() }
            try await client.send(Self.get + Self.post("/echo", "last"))
            client.stream.shutdownWrites()
            #expect(try await client.answersToEnd().map(\.text) == ["{}", "last"])
        }
    }
}
