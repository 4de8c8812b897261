import Glibc
import Reactor
import Synchronization
import TestSupport
import Testing

@testable import millrace

/// What came out of sending one or more files.
private struct Sent: Sendable {
    var totals: SendTotals
    var hasFailed: Bool
    var kept: Set<String>
    var requests: Int
    var reports: [String]
    var pauses: [Duration]
}

private func makeFile(_ text: String) throws -> String { try makeFile(Array(text.utf8)) }

private func makeFile(_ bytes: [UInt8]) throws -> String {
    let path = TestPaths.makeTemporaryDirectory() + "/events.ndjson"
    let file = try #require(fopen(path, "w"))
    defer { fclose(file) }
    #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    return path
}

/// Sends `files` to a server that behaves as told; pauses are noted and not waited out.
private func send(
    _ files: [String],
    lines: Int = 10,
    concurrency: Int = 2,
    retries: Int = 5,
    to behaviour: @escaping @Sendable (Int) -> ScriptedServer.Behaviour
) async throws -> Sent {
    let reading = try EventLoop(name: "test-read")
    defer { reading.stop() }
    return try await withLoop { loop in
        let server = try ScriptedServer(on: loop, behaviour)
        await server.start()
        var options = SendOptions(server: server.url)
        (options.linesMax, options.concurrency, options.retriesMax) = (lines, concurrency, retries)
        let source = ChunkSource(files.map { SendInput($0) }, linesMax: lines, bytesMax: 1 << 20, on: reading)
        let reports = Mutex<[String]>([])
        let pauses = Mutex<[Duration]>([])
        let sender = Sender(
            options,
            source: source,
            on: loop,
            report: { line in reports.withLock { $0.append(line) } },
            pause: { _, duration in pauses.withLock { $0.append(duration) } }
        )
        let totals = await sender.run()
        await server.close()
        return await Sent(
            totals: totals,
            hasFailed: sender.hasFailed,
            kept: server.kept,
            requests: server.requests,
            reports: reports.withLock { $0 },
            pauses: pauses.withLock { $0 }
        )
    }
}

private func events(_ count: Int, from start: Int = 0) -> [String] {
    (start..<start + count).map { #"{"type":"t","id":"\#($0)"}"# }
}

private func text(_ lines: [String]) -> String { lines.map { $0 + "\n" }.joined() }

@Suite(.timeLimit(.minutes(2))) struct `Sending files` {
    @Test func `stores every line of every file once`() async throws {
        let first = try makeFile(text(events(95)))
        let second = try makeFile(text(events(7, from: 90)) + "\n")

        let sent = try await send([first, second]) { _ in .store }

        #expect(sent.totals == SendTotals(read: 102, stored: 97, duplicates: 5))
        #expect(sent.kept == Set(events(97)))
        #expect(sent.requests == 11)
        #expect(!sent.hasFailed)
        #expect(sent.reports.isEmpty)
    }

    @Test func `sends again what a busy server has refused, when it wants it`() async throws {
        let file = try makeFile(text(events(10)))
        let sent = try await send([file]) { request in
            request == 0 ? .refuse(status: 503, fields: "Retry-After: 0\r\n") : .store
        }
        #expect(sent.totals == SendTotals(read: 10, stored: 10))
        #expect(sent.pauses == [.zero])
        #expect(sent.reports.count == 1)
        #expect(sent.reports.first?.hasSuffix("status 503; retry 1 of 5") == true)
    }

    @Test func `sends again what got no whole answer, and counts it as a duplicate`() async throws {
        let file = try makeFile(text(events(10)))
        let sent = try await send([file]) { $0 == 0 ? .storeAndBreak : .store }
        #expect(sent.totals == SendTotals(read: 10, duplicates: 10))
        #expect(sent.kept == Set(events(10)))
        #expect(sent.pauses.count == 1)
    }

    @Test func `minds neither closed connections nor early refusals`() async throws {
        let file = try makeFile(text(events(100)))
        let sent = try await send([file]) { request in
            switch request % 4 {
            case 0: .storeAndClose
            case 1: .refuseEarly(status: 503)
            case 2: .vanish
            default: .store
            }
        }
        #expect(sent.totals.isComplete)
        #expect(sent.totals.stored + sent.totals.duplicates == 100)
        #expect(sent.kept == Set(events(100)))
    }

    @Test func `loses nothing whatever the server does`() async throws {
        let all = events(200)
        let file = try makeFile(text(all))
        for seed in UInt64(1)...10 {
            let sent = try await send([file], lines: 7, concurrency: 4, retries: 1_000) { request in
                var generator = SplitMix(seed: seed &* 1_000 &+ UInt64(request))
                switch generator.next() % 8 {
                case 0: return .refuse(status: 503, fields: "Retry-After: 0\r\n")
                case 1: return .refuse(status: 429)
                case 2: return .storeAndBreak
                case 3: return .vanish
                case 4: return .storeAndClose
                case 5: return .refuseEarly(status: 500)
                default: return .store
                }
            }
            #expect(sent.kept == Set(all), "seed \(seed)")
            #expect(sent.totals.isComplete, "seed \(seed)")
            #expect(sent.totals.stored + sent.totals.duplicates == 200, "seed \(seed)")
            #expect(!sent.hasFailed, "seed \(seed)")
        }
    }

    @Test func `tells where the first rejected events are`() async throws {
        let lines = (0..<60).map { $0.isMultiple(of: 2) ? "bad\($0)" : #"{"id":"\#($0)"}"# }
        let file = try makeFile("\n" + text(lines))

        let sent = try await send([file], concurrency: 1) { _ in .store }

        #expect(sent.totals == SendTotals(read: 60, stored: 30, rejected: 30))
        #expect(sent.reports.count == Sender.refusalsShownMax)
        #expect(sent.reports.first == "\(file):2: missing_type: no (id bad0)")
        #expect(sent.reports.last == "\(file):40: missing_type: no (id bad38)")
        #expect(!sent.hasFailed)
    }

    @Test func `stops at an answer that no repetition would change`() async throws {
        let file = try makeFile(text(events(100)))
        let sent = try await send([file], concurrency: 1) { request in
            request < 2 ? .store : .refuse(status: 403, body: #"{"title":"Forbidden"}"#)
        }
        #expect(sent.totals == SendTotals(read: 30, stored: 20, unacknowledged: 10))
        #expect(sent.hasFailed)
        #expect(
            sent.reports == ["\(file): lines 21 to 30 are not acknowledged: status 403: Forbidden"]
        )
    }

    @Test func `gives up after its retries and says which lines are open`() async throws {
        let file = try makeFile(text(events(25)))
        let sent = try await send([file], concurrency: 1, retries: 3) { request in
            request == 0 ? .store : .refuse(status: 500)
        }
        #expect(sent.totals == SendTotals(read: 20, stored: 10, unacknowledged: 10))
        #expect(sent.requests == 5)
        #expect(sent.reports.count == 4)
        #expect(sent.reports.last == "\(file): lines 11 to 20 are not acknowledged: status 500")
    }

    @Test func `inflates gzip files of one part or more, and refuses damaged ones`() async throws {
        let plain = try makeFile(text(events(3_000)))
        #expect(system("gzip -n '\(plain)' && cat '\(plain).gz' '\(plain).gz' >'\(plain)'") == 0)
        let sent = try await send([plain, plain + ".gz"], lines: 1_000) { _ in .store }
        #expect(sent.totals == SendTotals(read: 9_000, stored: 3_000, duplicates: 6_000))
        #expect(sent.kept == Set(events(3_000)))

        for bytes in [[0x1F, 0x8B], [0x1F, 0x8B, 8, 0], [0x1F, 0x8B, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
            as [[UInt8]]
        {
            let damaged = try makeFile(bytes)
            let nothing = try await send([damaged]) { _ in .store }
            #expect(nothing.hasFailed)
            #expect(nothing.reports == ["\(damaged): the gzip file is damaged"])
            #expect(nothing.totals == SendTotals())
        }
    }

    @Test func `sends nothing of files without events`() async throws {
        for text in ["", "\n", "\n\n"] {
            let sent = try await send([makeFile(text)]) { _ in .store }
            #expect(!sent.hasFailed)
            #expect(sent.requests == 0)
        }
    }

    @Test func `sends a file of one byte`() async throws {
        let sent = try await send([makeFile("1")]) { _ in .store }
        #expect(sent.totals == SendTotals(read: 1, stored: 1))
    }

    @Test func `sends the lines before the damage, and the files after it`() async throws {
        let whole = try makeFile(text(events(50, from: 3_000)))
        let cut = try makeFile(text(events(3_000)))
        #expect(system("gzip -n '\(cut)' && head -c -2000 '\(cut).gz' >'\(cut)'") == 0)

        let sent = try await send([cut, "/nonexistent", whole], lines: 5_000) { _ in .store }

        #expect(sent.hasFailed)
        #expect(
            sent.reports == [
                "\(cut): the gzip file is damaged", "/nonexistent: open: No such file or directory",
            ]
        )
        let before = sent.totals.stored - 50
        #expect(before > 1_000 && before < 3_000, "\(sent.totals)")
        #expect(sent.kept == Set(events(before) + events(50, from: 3_000)))
        #expect(sent.totals.isComplete)
    }

    @Test func `sends in parts what is too large for something on the way, and smaller chunks afterwards`()
        async throws
    {
        let file = try makeFile(text(events(400)))
        let line = text(events(1)).utf8.count
        let sent = try await send([file], lines: 100, concurrency: 1) { _ in
            .storeUpTo(bytes: 40 * line)
        }
        #expect(sent.totals == SendTotals(read: 400, stored: 400))
        #expect(sent.kept == Set(events(400)))
        #expect(!sent.hasFailed)
        // 100, 50, 25, 25, 50, 25, 25, and the other 300 in chunks that fit at once.
        #expect(sent.requests < 24, "\(sent.requests)")

        let one = try await send([file], lines: 100, concurrency: 1) { _ in .storeUpTo(bytes: 10) }
        #expect(one.totals == SendTotals(read: 100, unacknowledged: 100))
        #expect(one.hasFailed)
    }

    @Test func `reports a file that is not there after the others`() async throws {
        let file = try makeFile(text(events(5)))
        #expect(SendInput("/nonexistent").obstacle != nil)
        #expect(SendInput(file).obstacle == nil)
        let sent = try await send([file, "/nonexistent"], concurrency: 1) { _ in .store }
        #expect(sent.totals == SendTotals(read: 5, stored: 5))
        #expect(sent.hasFailed)
    }

    @Test func `reports a server that is not there`() async throws {
        let file = try makeFile(text(events(5)))
        let reading = try EventLoop(name: "test-read")
        defer { reading.stop() }
        let (totals, hasFailed) = try await withLoop { loop in
            let server = try ScriptedServer(on: loop) { _ in .store }
            await server.close()
            var options = SendOptions(server: server.url)
            options.retriesMax = 2
            let source = ChunkSource([SendInput(file)], linesMax: 10, bytesMax: 1_000, on: reading)
            let sender = Sender(options, source: source, on: loop, report: { _ in }, pause: { _, _ in })
            return (await sender.run(), await sender.hasFailed)
        }
        #expect(totals == SendTotals(read: 5, unacknowledged: 5))
        #expect(hasFailed)
    }
}

@Suite(.timeLimit(.minutes(2))) struct `Asking for health` {
    @Test func `knows a healthy server from others`() async throws {
        let answers = try await withLoop { loop in
            let server = try ScriptedServer(on: loop) { .refuse(status: $0 == 0 ? 200 : 503) }
            await server.start()
            let first = await HealthCommand.check(server.url, on: loop)
            let second = await HealthCommand.check(server.url, on: loop)
            await server.close()
            let third = await HealthCommand.check(server.url, on: loop)
            #expect(await server.paths == ["/healthz"])
            return [first, second, third]
        }
        #expect(answers == [nil, "status 503", "connect: Connection refused"])
    }
}
